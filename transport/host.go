package transport

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/netguard"
)

// Config says how to speak to a registry. Only Registry has to be set.
type Config struct {
	// Registry is the host that is spoken to.
	Registry name.Registry
	// Keychain holds the credentials. The default, nil, is anonymous.
	Keychain authn.Keychain
	// Base carries the requests. The default is a clone of http.DefaultTransport
	// that keeps as many idle connections as there were requests at once. The
	// addresses to which a registry may lead are checked when they are dialled
	// if Base is an *http.Transport.
	Base http.RoundTripper
	// UserAgent is sent with each request. The default is "crossmount".
	UserAgent string
	// Logger gets a line at debug level for each request. The default is none.
	Logger *slog.Logger
	// Retry says how patient to be.
	Retry Retry
	// Requests bounds the requests in flight, and Uploads those of them that carry
	// content of a blob. The defaults are 8 and 4. They are halved when the
	// registry asks to slow down (429, 503) and grow again.
	Requests, Uploads int
	// Stall is how long a request may go without a byte in either direction, and a
	// token request may take. Then it is cut, and goes on like one whose connection
	// broke. A registry that has all of a blob or manifest may take three times as
	// long to answer, and a second more for each 8 MiB. The default is one minute.
	Stall time.Duration
}

// The defaults of Config.
const (
	defaultRequests  = 8
	defaultUploads   = 4
	defaultStall     = time.Minute
	defaultUserAgent = "crossmount"
)

// Host speaks to one registry host. It may be used by many goroutines at once.
type Host struct {
	registry name.Registry
	base     http.RoundTripper
	closeOwn func() // idle connections of base that are the Host's own
	auth     *auth.Host
	agent    string
	log      *slog.Logger
	retry    Retry
	requests *pace
	uploads  *pace
	stall    time.Duration
	few      bool                   // requests may wait for one of the few connections
	scheme   atomic.Pointer[string] // nil until an answer has shown it
	door     slots                  // holds all but one request back until met
	met      atomic.Bool            // one request has been through
	asking   slots                  // holds all but one back that ask for a challenge
	asked    atomic.Bool            // one has asked
}

// NewHost returns a Host. It sends nothing.
func NewHost(c Config) *Host {
	guard := netguard.New(c.Registry.RegistryStr(), c.Base)
	h := &Host{
		registry: c.Registry,
		base:     guard,
		closeOwn: guard.CloseOwn,
		agent:    c.UserAgent,
		log:      c.Logger,
		retry:    c.Retry.withDefaults(),
		requests: newPace(c.Requests, defaultRequests),
		uploads:  newPace(c.Uploads, defaultUploads),
		stall:    c.Stall,
		door:     newSlots(1, 1),
		asking:   newSlots(1, 1),
	}
	if t, ok := c.Base.(*http.Transport); ok {
		h.few = t.MaxConnsPerHost > 0
	}
	if h.agent == "" {
		h.agent = defaultUserAgent
	}
	if h.stall <= 0 {
		h.stall = defaultStall
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.auth = auth.New(auth.Config{
		Registry: c.Registry, Keychain: c.Keychain, Transport: h.base, UserAgent: h.agent, Logger: h.log, Wait: h.stall,
	})
	if c.Registry.Scheme() == "https" {
		h.settle("https")
	}
	return h
}

// Name returns the name of the host, with its port if it has one.
func (h *Host) Name() string { return h.registry.RegistryStr() }

// CloseIdle closes the idle connections that nobody else can use. The Host makes
// new ones when it is used again.
func (h *Host) CloseIdle() { h.closeOwn() }

// Readable says whether the credential of the target may read source, as far
// as the tokens that were had so far tell.
func (h *Host) Readable(target name.Repository, source string) (readable, known bool) {
	return h.auth.Readable(target, source)
}

// root returns the URL of the host. Registries on loopback and private
// addresses may speak either scheme. http is tried first where a port is named,
// without any credential, since one that ggcr takes for local mostly speaks it.
// Without a port there may be two servers, and the one at 443 is tried first, as
// ggcr does.
func (h *Host) root() *url.URL {
	scheme := "http"
	if (&url.URL{Host: h.Name()}).Port() == "" {
		scheme = "https"
	}
	if s := h.scheme.Load(); s != nil {
		scheme = *s
	}
	return &url.URL{Scheme: scheme, Host: h.Name()}
}

// settle fixes the scheme.
func (h *Host) settle(scheme string) { h.scheme.CompareAndSwap(nil, &scheme) }

// own says whether u is at the registry's own scheme, host and port: the only
// place that may get a credential.
func (h *Host) own(u *url.URL) bool {
	root := h.root()
	return u.Scheme == root.Scheme && authority(u) == authority(root)
}

// authority returns host and port of u in a form to compare, with the default
// port of its scheme.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}
