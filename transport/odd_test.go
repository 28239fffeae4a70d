package transport

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// Graceful GOAWAYs by HTTP/2, as nginx sends one every 1000 requests, break no
// upload, in chunks or not.
func TestGoAway(t *testing.T) {
	registry := registrytest.New(registrytest.Behaviour{})
	var n atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%5 == 0 {
			w.Header().Set("Connection", "close") // GOAWAY
		}
		registry.ServeHTTP(w, r)
	}))
	srv.EnableHTTP2, srv.TLS = true, &tls.Config{}
	srv.StartTLS()
	defer srv.Close()
	h := newHost(t, srv.Listener.Addr().String(), srv.Client().Transport.(*http.Transport), patient(Retry{Base: time.Millisecond}))
	wantStatus(t, "first", repositoryOf(t, h, "app").Tags(t.Context(), 1), 404)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			r := repositoryOf(t, h, "app")
			d, body := content(pattern(200000 + i))
			a, s := r.Start(t.Context(), d)
			if s == nil {
				t.Errorf("start: %v", a.Failure())
				return
			}
			if i%2 == 0 {
				wantStatus(t, "chunks", s.Chunks(t.Context(), d, body, 50000), 201)
			} else {
				wantStatus(t, "put", s.Put(t.Context(), d, body), 201)
			}
		})
	}
	wg.Wait()
}

// Basic is taken where the realm of the Bearer challenge beside it cannot be used:
// http, by a registry behind a proxy that ends TLS.
func TestUnusableRealmBesideBasic(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); ok && u == "alice" && p == "secret" {
			return
		}
		w.Header().Add("WWW-Authenticate", `Basic realm="registry"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="http://registry.test/token",service="x"`)
		w.WriteHeader(401)
	})
	r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: h}, as("alice", "secret"))
	wantStatus(t, "check", r.Check(t.Context(), digest.FromString("x")), 200)
}

// bare is a RoundTripper that leaves out of responses what http.Client does not
// need.
type bare struct {
	next          http.RoundTripper
	request, body bool // what is left out
}

func (b bare) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if b.request {
		resp.Request = nil
	}
	if b.body && req.Method == http.MethodHead {
		resp.Body.Close()
		resp.Body = nil
	}
	return resp, nil
}

// A caller's RoundTripper may leave out what http.Client puts up with.
func TestBareResponse(t *testing.T) {
	registry := registrytest.New(registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}}})
	r := newRepository(t, publicHost, "app", bare{next: registry.Client(), request: true}, as("alice", "secret"))
	wantStatus(t, "without Request", r.Check(t.Context(), digest.FromString("x")), 404)
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("without Body: panic: %v", v)
		}
	}()
	r = newRepository(t, publicHost, "app", bare{next: registry.Client(), body: true}, as("alice", "secret"))
	wantStatus(t, "without Body", r.Check(t.Context(), digest.FromString("x")), 404)
}

// rewinds makes the content of each part anew before it is sent, as HTTP/2 does
// when a connection cannot be used after all.
type rewinds struct{ next http.RoundTripper }

func (r rewinds) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPatch {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	return r.next.RoundTrip(req)
}

// Content that was made anew before any of it was read counts once.
func TestRewind(t *testing.T) {
	const size = 100 << 10
	d, body := content(pattern(size))
	s := registrytest.Start(t, registrytest.Behaviour{})
	r := newRepository(t, s.Host, "app", rewinds{http.DefaultTransport})
	a := open(t, r, d).Chunks(t.Context(), d, body, 30<<10)
	wantStatus(t, "chunks", a, 201)
	if a.Sent != size {
		t.Errorf("%d bytes sent of %d", a.Sent, size)
	}
}
