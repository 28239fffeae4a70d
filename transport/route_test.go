package transport

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

func TestVet(t *testing.T) {
	const https, http = "https", "http"
	tests := []struct {
		name, root, scheme, to string
		want                   string // "" is refused
	}{
		{"https stays", "r.test", https, "https://r.test/u?x=%7e", "https://r.test/u?x=%7e"},
		{"https elsewhere", "r.test", https, "https://cdn.test/u?sig=a%2Bb", "https://cdn.test/u?sig=a%2Bb"},
		{"https on another port", "r.test", https, "https://r.test:8443/u", "https://r.test:8443/u"},
		{"downgrade on the same host", "r.test", https, "http://r.test/u?x=%7e", "https://r.test/u?x=%7e"},
		{"downgrade with port 80", "r.test", https, "http://r.test:80/u", "https://r.test/u"},
		{"downgrade in capitals", "r.test", https, "http://R.test/u", "https://r.test/u"},
		{"downgrade on the same port", "r.test:5000", https, "http://r.test:5000/u", "https://r.test:5000/u"},
		{"downgrade that lost the port", "r.test:5000", https, "http://r.test/u", "https://r.test:5000/u"},
		{"downgrade to port 80", "r.test:5000", https, "http://r.test:80/u", "https://r.test:5000/u"},
		{"downgrade to another port", "r.test", https, "http://r.test:8080/u", ""},
		{"downgrade to port 443", "r.test", https, "http://r.test:443/u", ""},
		{"downgrade from one port to another", "r.test:5000", https, "http://r.test:5001/u", ""},
		{"downgrade elsewhere", "r.test", https, "http://cdn.test/u", ""},
		{"downgrade to a subdomain", "r.test", https, "http://a.r.test/u", ""},
		{"downgrade to a longer name", "r.test", https, "http://r.test.evil.test/u", ""},
		{"IPv6 downgrade", "[fd00::1]:5000", https, "http://[fd00::1]:5000/u", "https://[fd00::1]:5000/u"},
		{"http stays", "127.0.0.1:5000", http, "http://127.0.0.1:5000/u", "http://127.0.0.1:5000/u"},
		{"http to https", "127.0.0.1:5000", http, "https://127.0.0.1:5000/u", "https://127.0.0.1:5000/u"},
		{"http elsewhere", "127.0.0.1:5000", http, "http://10.0.0.1/u", "http://10.0.0.1/u"},
		{"user", "r.test", https, "https://alice@r.test/u", ""},
		{"user and password", "127.0.0.1:5000", http, "http://alice:secret@127.0.0.1:5000/u", ""},
		{"empty user", "r.test", https, "https://@r.test/u", ""},
		{"metadata service", "127.0.0.1:5000", http, "http://169.254.169.254/latest", ""},
		{"metadata service of a public registry", "r.test", https, "https://169.254.169.254/latest", ""},
		{"metadata service by IPv6", "127.0.0.1:5000", http, "http://[fd00:ec2::254]/latest", ""},
		{"metadata service, mapped", "127.0.0.1:5000", http, "http://[::ffff:169.254.169.254]/latest", ""},
		{"no address", "127.0.0.1:5000", http, "http://0.0.0.0:5000/u", ""},
		{"link-local registry", "169.254.7.7:5000", http, "http://169.254.7.7:5000/u", "http://169.254.7.7:5000/u"},
		{"link-local neighbour", "169.254.7.7:5000", http, "http://169.254.7.8:5000/u", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.root, nil)
			h.scheme.Store(&tt.scheme)
			u, err := url.Parse(tt.to)
			if err != nil {
				t.Fatal(err)
			}
			got, err := h.vet(u)
			switch {
			case tt.want == "" && (!errors.Is(err, ErrForeign) || got != nil):
				t.Errorf("%v, %v; want ErrForeign", got, err)
			case tt.want != "" && (err != nil || got.String() != tt.want):
				t.Errorf("%v, %v; want %s", got, err, tt.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error tells the password: %v", err)
			}
			if u.String() != tt.to {
				t.Errorf("the URL was changed to %s", u)
			}
		})
	}
}

// Only the registry's own scheme, host and port may have a credential.
func TestOwn(t *testing.T) {
	tests := []struct {
		root, scheme, u string
		want            bool
	}{
		{"r.test", "https", "https://r.test/v2/", true},
		{"r.test", "https", "https://r.test:443/v2/", true},
		{"r.test:443", "https", "https://r.test/v2/", true},
		{"r.test", "https", "https://R.TEST/v2/", true},
		{"r.test", "https", "http://r.test/v2/", false},
		{"r.test", "https", "http://r.test:443/v2/", false},
		{"r.test", "https", "https://r.test:80/v2/", false},
		{"r.test", "https", "https://r.test.evil.test/v2/", false},
		{"r.test", "https", "https://a.r.test/v2/", false},
		{"127.0.0.1:5000", "http", "http://127.0.0.1:5000/v2/", true},
		{"127.0.0.1:5000", "http", "https://127.0.0.1:5000/v2/", false},
		{"127.0.0.1:5000", "http", "http://127.0.0.1:5001/v2/", false},
		{"127.0.0.1:5000", "http", "http://127.0.0.2:5000/v2/", false},
		{"127.0.0.1", "http", "http://127.0.0.1:80/v2/", true},
		{"[::1]:5000", "http", "http://[::1]:5000/v2/", true},
		{"[::1]:5000", "http", "http://[::1:5000]/v2/", false},
	}
	for _, tt := range tests {
		h := newHost(t, tt.root, nil)
		h.scheme.Store(&tt.scheme)
		u, err := url.Parse(tt.u)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.own(u); got != tt.want {
			t.Errorf("%s by %s owns %s: %v, want %v", tt.root, tt.scheme, tt.u, got, tt.want)
		}
	}
}

// Every form of Location is gone on with, byte for byte, and without mount and from.
func TestLocationForms(t *testing.T) {
	forms := map[string]func(*registrytest.Behaviour){
		"relative":      func(b *registrytest.Behaviour) { b.LocationForm = registrytest.LocationRelative },
		"absolute":      func(b *registrytest.Behaviour) { b.LocationForm = registrytest.LocationAbsolute },
		"state":         func(b *registrytest.Behaviour) { b.LocationForm = registrytest.LocationStateQuery },
		"state, 416":    func(b *registrytest.Behaviour) { b.LocationForm, b.StaleSession = registrytest.LocationStateQuery, 416 },
		"other path":    func(b *registrytest.Behaviour) { b.LocationForm = registrytest.LocationOtherPath },
		"carries mount": func(b *registrytest.Behaviour) { b.LocationForm = registrytest.LocationCarriesMount },
		"no Location on PATCH": func(b *registrytest.Behaviour) {
			b.LocationForm, b.PatchWithoutLocation = registrytest.LocationAbsolute, true
		},
	}
	for name, form := range forms {
		for _, how := range []string{"put", "stream"} {
			t.Run(name+" "+how, func(t *testing.T) {
				server := registrytest.Start(t, registrytest.Behaviour{})
				server.Registry.SetBehaviour(form)
				r := newRepository(t, server.Host, "app", nil)
				d, body := content(pattern(3000))
				a, s := r.Mount(t.Context(), d, "base")
				if a.Status != 202 || s == nil {
					t.Fatal(a.Failure(), s)
				}
				wantStatus(t, how, send(t.Context(), s, how, d, body), 201)
				if _, stands := server.Registry.Blob("app", d); !stands {
					t.Error("the blob does not stand")
				}
			})
		}
	}
}

// A Location that cannot be used gives no session, and the answer stays what it is.
func TestLocationUnusable(t *testing.T) {
	locations := map[string]string{
		"none":             "",
		"no URL":           "http://%zz/",
		"no host":          "http:///v2/upload",
		"another scheme":   "ftp://127.0.0.1/upload",
		"file":             "file:///etc/passwd",
		"opaque":           "mailto:a@b.test",
		"user":             "http://alice:secret@127.0.0.1/upload",
		"metadata service": "http://169.254.169.254/latest/meta-data/",
		"spaces":           "/v2/upload?a b",
	}
	for name, location := range locations {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(http.StatusAccepted)
			})
			r := newRepository(t, s.host, "app", nil, patient(Retry{}))
			d := digest.FromString("blob")
			mounted, session := r.Mount(t.Context(), d, "base")
			started, another := r.Start(t.Context(), d)
			if session != nil || another != nil {
				t.Errorf("sessions %v and %v", session, another)
			}
			wantStatus(t, "mount", mounted, 202)
			wantStatus(t, "start", started, 202)
			if mounted.Err != nil || mounted.Requests != 1 || len(s.seen()) != 2 {
				t.Errorf("%v, %d requests, %d in all", mounted.Err, mounted.Requests, len(s.seen()))
			}
		})
	}
}

// The Location of a PATCH that may not be gone to ends the upload there.
func TestLocationOfPatchRefused(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", "/upload")
		if req.Method == http.MethodPatch {
			w.Header().Set("Location", "http://alice:secret@127.0.0.1/upload")
		}
		w.WriteHeader(http.StatusAccepted)
	})
	d, body := content(pattern(100))
	a := open(t, newRepository(t, s.host, "app", nil), d).Stream(t.Context(), d, body)
	if a.Heard() || !errors.Is(a.Failure(), ErrForeign) || a.Sent != 100 || strings.Contains(a.Failure().Error(), "secret") {
		t.Errorf("%v, %d bytes", a.Failure(), a.Sent)
	}
	if n := len(s.seen()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
