package transport

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
)

const (
	publicHost = "registry.test" // a name that is only spoken to by https
	manifestV1 = "application/vnd.oci.image.manifest.v1+json"
	indexV1    = "application/vnd.oci.image.index.v1+json"
	emptyIndex = `{"schemaVersion":2,"mediaType":"` + indexV1 + `","manifests":[]}` // needs no blobs
)

// impatient sends each request once.
func impatient() Retry { return Retry{Attempts: 1} }

// newHost returns a Host of the registry at host, which base reaches. It is
// anonymous and impatient unless change says otherwise.
func newHost(t testing.TB, host string, base http.RoundTripper, change ...func(*Config)) *Host {
	t.Helper()
	registry, err := name.NewRegistry(host)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Registry: registry, Base: base, Retry: impatient()}
	for _, f := range change {
		f(&c)
	}
	return NewHost(c)
}

// newRepository returns the repository path of a new Host.
func newRepository(t testing.TB, host, path string, base http.RoundTripper, change ...func(*Config)) *Repository {
	t.Helper()
	return repositoryOf(t, newHost(t, host, base, change...), path)
}

// repositoryOf returns the repository path of h, with no further wish.
func repositoryOf(t testing.TB, h *Host, path string) *Repository {
	t.Helper()
	n, err := name.NewRepository(h.Name() + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return h.Repository(n, auth.Scope{})
}

// patient sets the retry policy.
func patient(r Retry) func(*Config) { return func(c *Config) { c.Retry = r } }

// as sets the credential.
func as(user, password string) func(*Config) {
	return func(c *Config) {
		c.Keychain = keychain{authn.FromConfig(authn.AuthConfig{Username: user, Password: password})}
	}
}

// keychain has one credential for everything.
type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

// content returns b as a Body, and its digest.
func content(b []byte) (digest.Digest, Body) {
	return digest.FromBytes(b), Body{
		Size: int64(len(b)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
	}
}

// pattern returns n bytes that do not repeat within any 251.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%251) ^ byte(i>>8)
	}
	return b
}

// hit is one request as a server saw it.
type hit struct {
	method, uri, auth string
	body              string
}

// site is a server on loopback that notes what it is asked.
type site struct {
	*httptest.Server
	host string // 127.0.0.1:port

	mu   sync.Mutex // guards hits
	hits []hit
}

// seen returns the requests so far.
func (s *site) seen() []hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hits)
}

// newSite serves answer until the test ends. It reads each body first, and
// gives it to answer all the same.
func newSite(t testing.TB, answer http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(s.noting(answer))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	s.host = strings.TrimPrefix(s.URL, "http://")
	t.Cleanup(s.Close)
	return s
}

// newTLSSite is newSite by https.
func newTLSSite(t testing.TB, answer http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(s.noting(answer))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	s.host = strings.TrimPrefix(s.URL, "https://")
	t.Cleanup(s.Close)
	return s
}

func (s *site) noting(answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		s.mu.Lock()
		s.hits = append(s.hits, hit{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), string(body)})
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	})
}

// spy notes scheme, host and Authorization of each request that goes through it.
type spy struct {
	next http.RoundTripper

	mu   sync.Mutex // guards sent
	sent []outgoing
}

type outgoing struct{ scheme, host, auth string }

func (s *spy) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.sent = append(s.sent, outgoing{req.URL.Scheme, req.URL.Host, req.Header.Get("Authorization")})
	s.mu.Unlock()
	return s.next.RoundTrip(req)
}

// seen returns the requests so far.
func (s *spy) seen() []outgoing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// soon fails the test if f takes longer than a call that does not hang may.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: still waiting after 10 s", what)
	}
}

// open starts an upload session for d.
func open(t testing.TB, r *Repository, d digest.Digest) *Session {
	t.Helper()
	a, s := r.Start(context.Background(), d)
	if a.Status != http.StatusAccepted || s == nil {
		t.Fatalf("start: %v, session %v", a.Failure(), s)
	}
	return s
}

// wantStatus checks the status of an answer.
func wantStatus(t testing.TB, what string, a Answer, status int) {
	t.Helper()
	if a.Status != status {
		t.Errorf("%s: %v; want status %d", what, a.Failure(), status)
	}
}
