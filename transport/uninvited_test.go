package transport

import (
	"net/http"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// A registry that denies what comes without a credential, and asks for one at its
// root only, is asked there once.
func TestChallengeAtRoot(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{})
		b := registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}, RootOnly: true}}
		if bearer {
			b.Auth = tokens.Auth("https://tokens.test/token")
			b.Auth.RootOnly = true
		}
		registry := registrytest.New(b)
		h := newHost(t, publicHost, registrytest.Network{publicHost: registry, "tokens.test": tokens}, as("alice", "secret"))
		h.met.Store(true) // the first request holds nobody back
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				wantStatus(t, "check", repositoryOf(t, h, "app").Check(t.Context(), digest.FromString("blob")), 404)
			})
		}
		wg.Wait()
		pings := 0
		for _, e := range registry.Log() {
			if e.Method == http.MethodGet && e.URL == "/v2/" {
				pings++
			}
		}
		if pings != 1 || bearer && tokens.Count() != 1 {
			t.Errorf("bearer %v: asked at the root %d times, %d token requests", bearer, pings, tokens.Count())
		}
	}
}

// One that denies and asks nowhere costs one request more, and none where there is
// no credential.
func TestDeniedWithoutChallenge(t *testing.T) {
	for _, credential := range []bool{false, true} {
		n := 0
		deny := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { n++; w.WriteHeader(403) })
		set := func(*Config) {}
		want := 2
		if credential {
			set, want = as("alice", "secret"), 3
		}
		r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: deny}, set)
		first := r.Check(t.Context(), digest.FromString("blob"))
		wantStatus(t, "check", first, 403)
		wantStatus(t, "again", r.Check(t.Context(), digest.FromString("blob")), 403)
		if n != want || first.Requests != want-1 {
			t.Errorf("credential %v: %d requests, want %d; the first counts %d", credential, n, want, first.Requests)
		}
	}
}

// A registry that could not answer at its root is asked there again.
func TestChallengeAtRootLater(t *testing.T) {
	b := registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}, RootOnly: true}}
	registry := registrytest.New(b)
	registry.Inject(registrytest.Fault{Match: func(e registrytest.Entry) bool { return e.URL == "/v2/" }, Times: 1, Do: registrytest.Status(503)})
	r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: registry}, as("alice", "secret"))
	wantStatus(t, "first", r.Check(t.Context(), digest.FromString("blob")), 403)
	wantStatus(t, "later", r.Check(t.Context(), digest.FromString("blob")), 404)
}

// What is denied to a client that has no credential is not sent again because the
// registry has asked for one before.
func TestDeniedBare(t *testing.T) {
	n := 0
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(401)
			return
		}
		n++
		w.WriteHeader(403)
	})
	r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: h})
	r.Start(t.Context(), digest.FromString("blob"))
	wantStatus(t, "check", r.Check(t.Context(), digest.FromString("blob")), 403)
	if n != 1 {
		t.Errorf("%d requests", n)
	}
}
