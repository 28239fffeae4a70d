package transport

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
)

// secured serves a registry with Basic authorization by https on loopback, whose
// name ggcr takes for one that speaks http. The spy sees what goes out.
func secured(t *testing.T) (*registrytest.Registry, *site, *spy) {
	t.Helper()
	registry := registrytest.New(registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}}})
	s := newTLSSite(t, registry.ServeHTTP)
	t.Cleanup(func() {
		for _, v := range registry.Violations() {
			t.Error(v)
		}
	})
	base := s.Client().Transport.(*http.Transport)
	base.MaxIdleConnsPerHost = 64 // handshakes are slow under the race detector
	return registry, s, &spy{next: base}
}

// nothingInClear checks that no credential went out by http, and returns how
// many requests did.
func nothingInClear(t *testing.T, s *spy) (inClear int) {
	t.Helper()
	for _, out := range s.seen() {
		if out.scheme != "http" {
			continue
		}
		inClear++
		if out.auth != "" {
			t.Errorf("by http, to %s: Authorization %q", out.host, out.auth)
		}
	}
	return inClear
}

// Whatever the first request is, it finds out that the host speaks https, and
// only it goes out by http.
func TestSchemeIsFoundOut(t *testing.T) {
	for name, first := range calls() {
		t.Run(name, func(t *testing.T) {
			registry, s, sent := secured(t)
			r := newRepository(t, s.host, "app", sent, as("alice", "secret"), patient(Retry{}))
			a := first.run(t.Context(), r)
			if n := len(sent.seen()); !a.Heard() || a.Status == 400 || a.Status == 401 || a.Requests != 3 || n != 3 {
				t.Errorf("first request: %v; the answer counts %d requests of %d", a.Failure(), a.Requests, n)
			}
			d, body := content(pattern(1000))
			wantStatus(t, "put", open(t, r, d).Put(t.Context(), d, body), 201)
			if n := nothingInClear(t, sent); n != 1 {
				t.Errorf("%d requests by http, want 1", n)
			}
			if _, stands := registry.Blob("app", d); !stands {
				t.Error("the blob does not stand")
			}
		})
	}
}

// So it does when many requests begin at once, and when the first of them is
// given up before it tells anything.
func TestSchemeOfManyAtOnce(t *testing.T) {
	for _, met := range []bool{false, true} {
		_, s, sent := secured(t)
		h := newHost(t, s.host, sent, as("alice", "secret"))
		h.met.Store(met) // the first request has been through, unheard
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				a := repositoryOf(t, h, "app").Check(t.Context(), digest.FromString("blob"))
				wantStatus(t, "check", a, http.StatusNotFound)
			})
		}
		wg.Wait()
		if n := nothingInClear(t, sent); !met && n != 1 {
			t.Errorf("%d requests by http, want 1", n)
		}
		if !h.speaks("https") {
			t.Error("https was not found out")
		}
	}
}

// A server that speaks http is not asked by https.
func TestSchemeStaysHTTP(t *testing.T) {
	s := newSite(t, registrytest.New(registrytest.Behaviour{}).ServeHTTP)
	sent := &spy{next: http.DefaultTransport}
	r := newRepository(t, s.host, "app", sent)
	for range 3 {
		wantStatus(t, "check", r.Check(t.Context(), digest.FromString("blob")), 404)
	}
	if n := nothingInClear(t, sent); n != 3 || len(sent.seen()) != 3 || !r.host.speaks("http") {
		t.Errorf("%d requests by http of %d", n, len(sent.seen()))
	}
}

// A server by http whose first answer is odd is asked by https once, and taken
// for what it is when that fails. An answer that shows nothing settles nothing.
func TestSchemeAfterAnOddAnswer(t *testing.T) {
	tests := []struct {
		name    string
		first   http.HandlerFunc
		settled bool
	}{
		{"400 that names no registry", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, true},
		{"not HTTP", func(w http.ResponseWriter, _ *http.Request) { write(w, "\x15\x03\x01\x00\x02\x02\x16 no\r\n\r\n") }, false},
		{"broken off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			odd := true
			s := newSite(t, func(w http.ResponseWriter, req *http.Request) {
				if odd {
					odd = false
					tt.first(w, req)
				}
			})
			r := newRepository(t, s.host, "app", nil)
			a := r.Tags(t.Context(), 1)
			if a.OK() || r.host.speaks("https") || r.host.speaks("http") != tt.settled {
				t.Errorf("%v; http %v, https %v", a.Failure(), r.host.speaks("http"), r.host.speaks("https"))
			}
			wantStatus(t, "the next one", r.Tags(t.Context(), 1), 200)
			if len(s.seen()) != 2 || !r.host.speaks("http") {
				t.Errorf("%d requests by http, want 2", len(s.seen()))
			}
		})
	}
}

// write sends text in place of an answer.
func write(w http.ResponseWriter, text string) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	_, _ = buf.WriteString(text)
	_ = buf.Flush()
}

// Servers tell in different ways that they want https.
func TestSchemeManners(t *testing.T) {
	page := func(body string) string {
		return "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + body
	}
	for name, answer := range map[string]string{
		"nginx":     page("<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n"),
		"Apache":    page("<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />\n"),
		"Go":        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
		"TLS alert": "\x15\x03\x01\x00\x02\x02\x16",
		"silence":   "",
	} {
		t.Run(name, func(t *testing.T) {
			registry := newTLSSite(t, registrytest.New(registrytest.Behaviour{}).ServeHTTP)
			base := registry.Client().Transport.(*http.Transport).Clone()
			base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				return answerInClear(ctx, network, address, answer)
			}
			for _, method := range []string{"head", "get"} {
				r := newRepository(t, registry.host, "app", base)
				a := r.Check(t.Context(), digest.FromString("blob"))
				if method == "get" {
					r = newRepository(t, registry.host, "app", base)
					a = r.Tags(t.Context(), 1)
				}
				wantStatus(t, method, a, 404)
				if !r.host.speaks("https") {
					t.Errorf("%s: https was not found out", method)
				}
			}
			base.CloseIdleConnections()
		})
	}
}

// answerInClear connects to a server that answers what is not TLS with answer.
func answerInClear(ctx context.Context, network, address, answer string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		defer conn.Close()
		in := bufio.NewReader(server)
		if b, err := in.Peek(1); err != nil || b[0] != 0x16 { // no handshake
			_, _ = in.ReadString('\n')
			_, _ = server.Write([]byte(answer))
			return
		}
		go func() { _, _ = in.WriteTo(conn) }()
		_, _ = bufio.NewReader(conn).WriteTo(server)
	}()
	return client, nil
}

// A certificate that is not trusted is the answer, and nothing goes out by http
// any more.
func TestSchemeUntrusted(t *testing.T) {
	s := newTLSSite(t, registrytest.New(registrytest.Behaviour{}).ServeHTTP)
	sent := &spy{next: &http.Transport{}}
	r := newRepository(t, s.host, "app", sent, as("alice", "secret"), patient(Retry{}))
	a := r.Check(t.Context(), digest.FromString("blob"))
	var unknown x509.UnknownAuthorityError
	if a.Heard() || !errors.As(a.Failure(), &unknown) || a.Requests != 2 {
		t.Errorf("%v, %d requests", a.Failure(), a.Requests)
	}
	if a = r.Check(t.Context(), digest.FromString("blob")); a.Heard() {
		t.Errorf("again: %v", a.Failure())
	}
	if n := nothingInClear(t, sent); n != 1 || len(s.seen()) != 0 {
		t.Errorf("%d requests by http, %d seen", n, len(s.seen()))
	}
}

// A host that sends http on to https is one that speaks https, with credentials.
// Without a port it is asked by https at once.
func TestSchemeByRedirect(t *testing.T) {
	for host, inClear := range map[string]int{"registry.localhost": 0, "registry.localhost:5000": 1} {
		registry := registrytest.New(registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}}})
		front := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "https://"+host+req.URL.RequestURI(), http.StatusMovedPermanently)
		})
		sent := &spy{next: byScheme{"http": registrytest.Network{host: front}, "https": registry.Client()}}
		r := newRepository(t, host, "app", sent, as("alice", "secret"))
		d, body := content(pattern(1000))
		wantStatus(t, "put", open(t, r, d).Put(t.Context(), d, body), 201)
		if n := nothingInClear(t, sent); n != inClear || !r.host.speaks("https") {
			t.Errorf("%s: %d requests by http, want %d", host, n, inClear)
		}
	}
}

// byScheme has a network for each scheme.
type byScheme map[string]http.RoundTripper

func (b byScheme) RoundTrip(req *http.Request) (*http.Response, error) {
	return b[req.URL.Scheme].RoundTrip(req)
}

// A registry whose name is spoken to by https is never spoken to by http,
// whatever its Locations and redirects say and however it fails.
func TestSchemeOfPublicNames(t *testing.T) {
	tests := map[string]registrytest.Behaviour{
		"plain":             {},
		"http Location":     {LocationForm: registrytest.LocationAbsolute},
		"Location, port 80": {LocationHost: func(*http.Request) string { return "http://" + publicHost + ":80" }},
		"Basic":             {Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}}},
	}
	for name, behaviour := range tests {
		t.Run(name, func(t *testing.T) {
			registry := registrytest.New(behaviour)
			sent := &spy{next: registry.Client()}
			r := newRepository(t, publicHost, "app", sent, as("alice", "secret"))
			d, body := content(pattern(1000))
			for _, form := range []string{"put", "stream"} {
				wantStatus(t, form, send(t.Context(), open(t, r, d), form, d, body), 201)
			}
			registry.Inject(registrytest.Fault{Do: registrytest.NotHTTP, Times: 1}, registrytest.Fault{Do: registrytest.Status(400), Times: 1})
			r.Check(t.Context(), d)
			r.Check(t.Context(), d)
			registry.SetBehaviour(func(b *registrytest.Behaviour) { b.RedirectUploads = "http://" + strings.ToUpper(publicHost) })
			if a, _ := r.Start(t.Context(), d); a.Heard() || !errors.Is(a.Failure(), ErrForeign) {
				t.Errorf("redirect to itself: %v", a.Failure())
			}
			if n := nothingInClear(t, sent); n != 0 {
				t.Errorf("%d requests by http", n)
			}
		})
	}
}

// meanwhile is a keychain that does something before it gives its credential for a
// repository.
type meanwhile struct{ do func() }

func (m meanwhile) Resolve(of authn.Resource) (authn.Authenticator, error) {
	if strings.Contains(of.String(), "/") {
		m.do()
	}
	return authn.FromConfig(authn.AuthConfig{Username: "alice", Password: "secret"}), nil
}

// A request by http that is being authorized while another one shows that the host
// speaks https goes out bare.
func TestSchemeSettledMeanwhile(t *testing.T) {
	sent := &spy{next: tripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})}
	var h *Host
	h = newHost(t, "127.0.0.1:5000", sent, func(c *Config) { c.Keychain = meanwhile{func() { h.settle("https") }} })
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: h.Name(), Path: "/v2/"}, Header: http.Header{}}
	challenge := &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {`Basic realm="r"`}}, Request: asked}
	if _, err := h.auth.Challenged(t.Context(), challenge, auth.Need{}); err != nil {
		t.Fatal(err)
	}
	repositoryOf(t, h, "app").Check(t.Context(), digest.FromString("blob"))
	if n := nothingInClear(t, sent); n != 1 || !h.speaks("https") {
		t.Errorf("%d requests by http", n)
	}
}
