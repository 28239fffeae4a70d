package transport

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// guarded is a registry on loopback that asks for authorization, by Basic or by
// tokens, and the change of a Config that has it.
func guarded(t *testing.T, scheme string) (*registrytest.Server, func(*Config)) {
	t.Helper()
	server := registrytest.Start(t, registrytest.Behaviour{})
	auth := &registrytest.Auth{Users: map[string]string{"alice": "secret"}}
	if scheme == "Bearer" {
		tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
			Users: map[string]registrytest.TokenUser{"alice": {Password: "secret", Access: []string{"app:pull,push", "base:pull"}}},
		})
		auth = tokens.Auth(realm)
	}
	server.Registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth = auth })
	return server, as("alice", "secret")
}

// storage answers as a service does that uploads and downloads are sent to.
func storage(w http.ResponseWriter, req *http.Request) {
	switch req.Method {
	case http.MethodPost, http.MethodPatch:
		w.Header().Set("Location", "/upload/next?sig=a%2fb")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		w.WriteHeader(http.StatusCreated)
	}
}

// elsewhere are servers that are not the registry: on another port, by another
// scheme.
func elsewhere(t *testing.T) map[string]*site {
	return map[string]*site{"port": newSite(t, storage), "scheme": newTLSSite(t, storage)}
}

// trusting is a transport that trusts the server.
func trusting(s *site) http.RoundTripper {
	if s.TLS == nil {
		return nil
	}
	return s.Client().Transport
}

// wantBare checks that a server was asked, and never with a credential.
func wantBare(t *testing.T, s *site, requests ...string) {
	t.Helper()
	var got []string
	for _, h := range s.seen() {
		path, _, _ := strings.Cut(h.uri, "?")
		got = append(got, h.method+" "+path[strings.LastIndexByte(path, '/')+1:])
		if h.auth != "" {
			t.Errorf("%s %s came with Authorization %q", h.method, h.uri, h.auth)
		}
	}
	if strings.Join(got, ", ") != strings.Join(requests, ", ") {
		t.Errorf("requests %q, want %q", got, requests)
	}
}

// A redirect to another port or scheme gets the request, and no credential.
func TestForeignRedirect(t *testing.T) {
	d, body := content(pattern(2000))
	for _, scheme := range []string{"Basic", "Bearer"} {
		for name, other := range elsewhere(t) {
			t.Run(scheme+" "+name, func(t *testing.T) {
				server, credential := guarded(t, scheme)
				r := newRepository(t, server.Host, "app", trusting(other), credential)
				server.Registry.PutBlob("app", pattern(2000))
				s := open(t, r, d)

				server.Registry.SetBehaviour(func(b *registrytest.Behaviour) { b.RedirectBlobs, b.RedirectUploads = other.URL, other.URL })
				wantStatus(t, "check", r.Check(t.Context(), d), 200)
				a, mounted := r.Mount(t.Context(), d, "base")
				wantStatus(t, "mount", a, 202)
				if mounted == nil || !strings.HasPrefix(mounted.url.String(), other.URL+"/upload/next?sig=a%2fb") {
					t.Errorf("the session of a mount that was sent on: %+v", mounted)
				}
				wantStatus(t, "put", s.Put(t.Context(), d, body), 201)
				wantBare(t, other, "HEAD "+d.Encoded(), "POST ", "PUT "+s.url.Path[strings.LastIndexByte(s.url.Path, '/')+1:])
				if hits := other.seen(); hits[2].body != string(pattern(2000)) {
					t.Errorf("%d bytes of content came", len(hits[2].body))
				}
				for _, e := range server.Registry.Log()[1:] {
					if e.Header.Get("Authorization") == "" {
						t.Errorf("%s %s came to the registry without Authorization", e.Method, e.URL)
					}
				}
			})
		}
	}
}

// A session on another host gets the bytes, the query as it was signed, and no
// credential.
func TestForeignSession(t *testing.T) {
	d, body := content(pattern(2000))
	for _, scheme := range []string{"Basic", "Bearer"} {
		for name, other := range elsewhere(t) {
			t.Run(scheme+" "+name, func(t *testing.T) {
				server, credential := guarded(t, scheme)
				server.Registry.SetBehaviour(func(b *registrytest.Behaviour) {
					b.LocationForm = registrytest.LocationStateQuery
					b.LocationHost = func(*http.Request) string { return other.URL }
				})
				r := newRepository(t, server.Host, "app", trusting(other), credential)
				put, stream, gone := open(t, r, d), open(t, r, d), open(t, r, d)
				wantStatus(t, "put", put.Put(t.Context(), d, body), 201)
				wantStatus(t, "stream", stream.Stream(t.Context(), d, body), 201)
				wantStatus(t, "cancel", gone.Cancel(t.Context()), 200)
				id := func(s *Session) string { return s.url.Path[strings.LastIndexByte(s.url.Path, '/')+1:] }
				hits := other.seen()
				wantBare(t, other, "PUT "+id(put), "PATCH "+hits[1].uri[strings.LastIndexByte(hits[1].uri, '/')+1:strings.IndexByte(hits[1].uri, '?')],
					"PUT next", "DELETE "+id(gone))
				if !strings.Contains(hits[0].uri, "?_state=%7e") || !strings.HasSuffix(hits[0].uri, "%3D&part&digest="+strings.Replace(d.String(), ":", "%3A", 1)) {
					t.Errorf("PUT %s", hits[0].uri)
				}
				if !strings.HasPrefix(hits[2].uri, "/upload/next?sig=a%2fb&digest=sha256") {
					t.Errorf("PUT %s", hits[2].uri)
				}
				if hits[0].body != string(pattern(2000)) || hits[1].body != string(pattern(2000)) || hits[2].body != "" {
					t.Error("other content came")
				}
			})
		}
	}
}

// A registry that is spoken to by http gets no credential by https, and the
// other way round: what answers there may be somebody else.
func TestForeignScheme(t *testing.T) {
	const host = "127.0.0.1:5000"
	d, body := content(pattern(2000))
	for own, other := range map[string]string{"http": "https", "https": "http"} {
		registry := registrytest.New(registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}}})
		sent := &spy{next: registry.Client()}
		r := newRepository(t, host, "app", sent, as("alice", "secret"))
		r.host.settle(own)
		s := open(t, r, d)
		s.url.Scheme, s.url.Host = other, host
		wantStatus(t, "put", s.Put(t.Context(), d, body), 401)
		for _, out := range sent.seen() {
			if out.scheme == other && out.auth != "" {
				t.Errorf("by %s instead of %s: Authorization %q", other, own, out.auth)
			}
		}
	}
}

// A 401 of another host is an answer: it gets no credential, and its challenge
// counts for nothing.
func TestForeignChallenge(t *testing.T) {
	trap := newSite(t, func(http.ResponseWriter, *http.Request) {})
	other := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+trap.URL+`/token",service="r", Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	for _, scheme := range []string{"Basic", "Bearer"} {
		server, credential := guarded(t, scheme)
		server.Registry.SetBehaviour(func(b *registrytest.Behaviour) { b.RedirectBlobs = other.URL })
		r := newRepository(t, server.Host, "app", nil, credential, patient(Retry{}))
		d := server.Registry.PutBlob("app", []byte("blob"))
		before := len(other.seen())
		a := r.Check(t.Context(), d)
		wantStatus(t, "check", a, 401)
		if n := len(other.seen()) - before; n != 1 || len(trap.seen()) != 0 {
			t.Errorf("%s: %d requests to the other host, %d to its realm", scheme, n, len(trap.seen()))
		}
		for _, h := range other.seen() {
			if h.auth != "" {
				t.Errorf("%s: Authorization %q", scheme, h.auth)
			}
		}
	}
}

// What leads into a network that the registry is not in is refused without a
// byte sent, and without repeats.
func TestForeignAddress(t *testing.T) {
	d, body := content(pattern(2000))
	inside := newSite(t, storage)
	registry := registrytest.New(registrytest.Behaviour{
		LocationHost: func(*http.Request) string { return "https://" + inside.host },
	})
	sent := &spy{next: registry.Client()}
	r := newRepository(t, publicHost, "app", sent, patient(Retry{}))
	a, s := r.Start(t.Context(), d)
	wantStatus(t, "start", a, 202)
	if s == nil {
		t.Fatal("no session")
	}
	wantForeign(t, "put", s.Put(t.Context(), d, body))
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.RedirectUploads = "https://10.0.0.7" })
	a, s = r.Start(t.Context(), d)
	wantForeign(t, "start", a)
	if s != nil || len(inside.seen()) != 0 {
		t.Errorf("session %v, %d requests to the inside", s, len(inside.seen()))
	}
	for _, out := range sent.seen() {
		if out.host != publicHost {
			t.Errorf("a request went to %s", out.host)
		}
	}
}

// wantForeign checks that an answer is a refusal of ours, with nothing sent.
func wantForeign(t *testing.T, what string, a Answer) {
	t.Helper()
	if e := a.Failure(); a.Heard() || a.Sent != 0 || a.Content || !errors.Is(e, ErrForeign) {
		t.Errorf("%s: %v, %d bytes sent; want ErrForeign", what, e, a.Sent)
	}
}
