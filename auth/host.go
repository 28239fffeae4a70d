package auth

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/flight"
	"github.com/crossmount/crossmount/internal/wire"
)

// Need is what one request needs.
type Need struct {
	// Target is the repository that the request is for. Its credential is used, also to read a source that
	// is mounted from. For a request about no repository, it is zero.
	Target name.Repository

	// Must is the scope without which the request fails. If it is zero, the scope of the registry's last
	// challenge to such a request is used.
	Must Scope

	// Wish is what later requests of the same work need too. It is asked for in the same token request, and
	// dropped when that is refused. At most 20 repositories, and 4 KiB of query, are asked for at once.
	Wish Scope
}

// target returns the name of the repository that a token is asked for.
func (n Need) target() string {
	if name := repositoryOf(n.Target); name != "" {
		return name
	}
	return n.Must.first()
}

// Config is what a Host is made of.
type Config struct {
	// Registry is the registry that is spoken to. Credentials go over http only if its Scheme is http.
	Registry name.Registry

	// Keychain gives the credential for each target; nil means that all access is anonymous. What it gives
	// is remembered for each repository until it is refused.
	Keychain authn.Keychain

	// Transport carries requests to the token server; nil means http.DefaultTransport. It decides which
	// addresses may be reached.
	Transport http.RoundTripper

	// UserAgent is sent to the token server; "" leaves the choice to net/http.
	UserAgent string

	// Logger gets a debug line for each token request; nil means none. No line holds a secret.
	Logger *slog.Logger

	// Wait is how long one token request may take; 0 is for ever.
	Wait time.Duration

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Host authorizes requests to one registry. It remembers the registry's challenge, credentials and tokens, in
// memory only. It is safe for concurrent use; of many requests that wait for the same token, one fetches it.
type Host struct {
	config  Config
	memory  *memory
	lookups flight.Group[string, credential]
	fetches flight.Group[fetch, result]
}

// New returns a Host that knows nothing yet.
func New(cfg Config) *Host {
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Host{config: cfg, memory: newMemory()}
}

// Authorize sets the Authorization header of req for need, or removes it: a request goes out bare as long as
// the registry has not challenged, with an anonymous credential under Basic, and to any URL that is not the
// registry's own. It may fetch a token, for which it waits as long as ctx lasts.
//
// The error is an *Error; req must not be sent then. If it matches ErrSourceRefused, the same request without
// the source is worth sending.
func (h *Host) Authorize(ctx context.Context, req *http.Request, need Need) error {
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Del("Authorization")
	ch, scope := h.memory.known()
	if ch == nil || !h.owns(req.URL) {
		return nil
	}
	if need.Must.IsZero() {
		need.Must = scope
	}
	cred, err := h.credential(ctx, need.Target)
	if err != nil {
		return err
	}
	header := cred.header()
	if ch.bearer && cred.config.RegistryToken == "" {
		secret, err := h.bearer(ctx, ch, cred, need)
		if err != nil {
			return err
		}
		header = "Bearer " + secret
	}
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	return nil
}

// Challenged is told of an answer to a request that Authorize has seen, with the same need. Of the answer it
// reads the status, the headers and resp.Request; the body is the caller's. It makes no token request.
//
// again says that the request is worth repeating, with Authorize before it: with the token that the challenge
// asks for, with a new token in place of a stale one, or with one for the target alone. A token that is refused
// at once is replaced once. The caller should repeat one request twice at the most all the same. The answer counts
// only if it is a 401 and came from the registry itself, not from where that redirected to.
//
// The error is an *Error: with the Op "challenge" when the challenge's realm must not be used (no http or https
// URL, an http realm of an https registry, a realm with user information), or "credential" when the keychain fails.
func (h *Host) Challenged(ctx context.Context, resp *http.Response, need Need) (again bool, err error) {
	if resp.StatusCode != http.StatusUnauthorized || resp.Request == nil || !h.owns(resp.Request.URL) {
		return false, nil
	}
	offered := wire.ParseChallenges(resp.Header)
	best, err := choose(offered, resp.Request.URL.Scheme == "https")
	if err != nil {
		return false, h.fail("challenge", err)
	}
	ch := h.memory.learn(best, !need.Must.IsZero())
	if ch == nil {
		return false, nil
	}
	used := resp.Request.Header.Get("Authorization")
	cred, err := h.credential(ctx, need.Target)
	if err != nil {
		return false, err
	}
	secret, bearer := strings.CutPrefix(used, "Bearer ")
	switch {
	case used == "" || ch.bearer && !bearer:
		return ch.bearer || cred.header() != "", nil
	case !ch.bearer || cred.config.RegistryToken != "":
		_, again, err := h.renew(ctx, need.Target, func(c credential) bool { return c.header() == used })
		return again, err
	}
	now, reason := h.config.Now(), errorOf(offered)
	again = h.memory.verdict(cred.id, secret, need.target(), need.Must, reason, now)
	h.config.Logger.DebugContext(ctx, "token refused by the registry",
		"host", h.config.Registry.RegistryStr(), "scope", need.Must.String(), "reason", reason, "again", again)
	return again, nil
}

// Challenges says whether the registry has asked for a credential.
func (h *Host) Challenges() bool {
	ch, _ := h.memory.known()
	return ch != nil
}

// Withholds says whether there is a credential for target that is not used, because the registry has not asked for
// one. It may ask the keychain, for which it waits as long as ctx lasts.
func (h *Host) Withholds(ctx context.Context, target name.Repository) bool {
	if h.Challenges() {
		return false
	}
	c, err := h.credential(ctx, target)
	return err == nil && (c.header() != "" || c.config.IdentityToken != "")
}

// Readable says whether the target's credential permits to pull source, as far as tokens have told: their
// access claims, and the refusals of token servers and of the registry. Nothing is known before the first token,
// from opaque tokens, under Basic, and of sources that were left out of a token request for its size. It makes no
// request.
func (h *Host) Readable(target name.Repository, source string) (readable, known bool) {
	return h.memory.readable(repositoryOf(target), source, h.config.Now())
}

// owns reports whether u is on the registry itself: host and port, and https unless the registry is one that
// is spoken to over http.
func (h *Host) owns(u *url.URL) bool {
	if u.Scheme != "https" && (u.Scheme != "http" || h.config.Registry.Scheme() != "http") {
		return false
	}
	return origin(u) == origin(&url.URL{Scheme: u.Scheme, Host: h.config.Registry.RegistryStr()})
}

// fail makes an error of this host.
func (h *Host) fail(op string, err error) *Error {
	return &Error{Op: op, Host: h.config.Registry.RegistryStr(), Err: withoutURL(err)}
}
