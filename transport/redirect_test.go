package transport

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// redirector sends everything on to base, path and query kept, with status.
func redirector(status int, base *string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", *base+req.URL.RequestURI())
		w.WriteHeader(status)
	}
}

// Whatever the method, a redirect is followed with it, and with the query and
// the content that the request had.
func TestRedirectKeepsTheRequest(t *testing.T) {
	for _, status := range []int{301, 302, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			server := registrytest.Start(t, registrytest.Behaviour{})
			d, body := content(pattern(70 << 10))
			base := server.Registry.PutBlob("base", []byte("base layer"))
			server.Registry.PutManifest("app", "v1", manifestV1, []byte("{}"))
			front := newSite(t, redirector(status, &server.URL))
			r := newRepository(t, front.host, "app", nil)

			wantStatus(t, "check", r.Check(t.Context(), d), 404)
			a, m := r.Manifest(t.Context(), "v1")
			wantStatus(t, "manifest", a, 200)
			if string(m.Body) != "{}" || a.Requests != 2 {
				t.Errorf("manifest %q in %d requests", m.Body, a.Requests)
			}
			a, _ = r.Mount(t.Context(), base, "base")
			wantStatus(t, "mount", a, 201)
			for _, form := range []string{"put", "stream"} {
				s := open(t, r, d)
				s.url.Host = front.host // the session, too, by way of the redirect
				a = send(t.Context(), s, form, d, body)
				wantStatus(t, form, a, 201)
				if a.Sent != 2*body.Size { // the front reads it all before it answers
					t.Errorf("%s: %d bytes sent", form, a.Sent)
				}
				if _, stands := server.Registry.Blob("app", d); !stands {
					t.Errorf("%s: the blob does not stand", form)
				}
				server.Registry.DeleteBlob("app", d)
			}
			wantStatus(t, "put manifest", r.PutManifest(t.Context(), "v2", indexV1, []byte(emptyIndex)), 201)
			if got, _, _ := server.Registry.Manifest("app", "v2"); string(got) != emptyIndex {
				t.Errorf("the manifest is %q", got)
			}
		})
	}
}

// A redirect to the registry itself, as one of another path, keeps the credential.
func TestRedirectOnTheSameHost(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, req *http.Request) {
		user, password, _ := req.BasicAuth()
		switch {
		case user != "alice" || password != "secret":
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		case req.URL.Path == "/elsewhere":
			w.WriteHeader(http.StatusOK)
		default:
			http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	a := newRepository(t, s.host, "app", nil, as("alice", "secret")).Check(t.Context(), digest.FromString("blob"))
	wantStatus(t, "check", a, 200)
	if a.Requests != 3 || len(s.seen()) != 3 {
		t.Errorf("%d requests, %d seen; want 3: challenge, redirect, answer", a.Requests, len(s.seen()))
	}
}

// A redirect without end is not followed to it, nor begun again.
func TestRedirectWithoutEnd(t *testing.T) {
	var own string
	s := newSite(t, redirector(http.StatusTemporaryRedirect, &own)) // to itself
	r := newRepository(t, s.host, "app", nil, patient(Retry{}))
	for name, run := range calls() {
		before := len(s.seen())
		a := run.run(t.Context(), r)
		if a.Heard() || !errors.Is(a.Failure(), ErrForeign) || !errors.Is(a.Failure(), ErrUnheard) {
			t.Errorf("%s: %v", name, a.Failure())
		}
		if n := len(s.seen()) - before; n != maxRedirects+1 || a.Requests != n {
			t.Errorf("%s: %d requests, the answer counts %d; want %d", name, n, a.Requests, maxRedirects+1)
		}
	}
}

// So many redirects are followed, and no more.
func TestRedirectBound(t *testing.T) {
	for _, tt := range []struct{ hops, status int }{{maxRedirects, 200}, {maxRedirects + 1, 0}} {
		left := tt.hops
		s := newSite(t, func(w http.ResponseWriter, req *http.Request) {
			if left--; left >= 0 {
				http.Redirect(w, req, "/next", http.StatusTemporaryRedirect)
			}
		})
		a := newRepository(t, s.host, "app", nil).Check(t.Context(), digest.FromString("blob"))
		wantStatus(t, "check", a, tt.status)
	}
}

// What is no redirect to follow is an answer.
func TestRedirectNotFollowed(t *testing.T) {
	for _, tt := range []struct {
		status   int
		location string
	}{{300, "/next"}, {303, "/next"}, {304, "/next"}, {307, ""}} {
		s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", tt.location)
			w.WriteHeader(tt.status)
		})
		a := newRepository(t, s.host, "app", nil).Check(t.Context(), digest.FromString("blob"))
		wantStatus(t, "check", a, tt.status)
		if len(s.seen()) != 1 || a.OK() {
			t.Errorf("%d: %d requests, ok %v", tt.status, len(s.seen()), a.OK())
		}
	}
}

// Redirects that may not be followed are refused at once: nothing is sent there,
// and the request is not repeated.
func TestRedirectRefused(t *testing.T) {
	for name, location := range map[string]string{
		"user":             "http://alice:secret@127.0.0.1/",
		"metadata service": "http://169.254.169.254/latest/meta-data/",
		"its name":         "http://metadata.google.internal/",
		"no HTTP":          "gopher://127.0.0.1/",
		"unusual address":  "http://2852039166/",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
			r := newRepository(t, s.host, "app", nil, patient(Retry{}))
			a, m := r.Manifest(t.Context(), "v1")
			if a.Heard() || m.Body != nil || !errors.Is(a.Failure(), ErrForeign) || strings.Contains(a.Failure().Error(), "secret") {
				t.Errorf("%v", a.Failure())
			}
			if n := len(s.seen()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// The end of the context ends a chain of redirects.
func TestRedirectCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSite(t, func(w http.ResponseWriter, req *http.Request) {
		cancel()
		http.Redirect(w, req, "/next", http.StatusTemporaryRedirect)
	})
	a := newRepository(t, s.host, "app", nil, patient(Retry{})).Check(ctx, digest.FromString("blob"))
	if a.Heard() || !errors.Is(a.Failure(), context.Canceled) || len(s.seen()) != 1 {
		t.Errorf("%v, %d requests", a.Failure(), len(s.seen()))
	}
}
