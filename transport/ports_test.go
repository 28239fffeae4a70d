package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// to leads ports 80 and 443 of any host to these addresses; "" refuses.
func to(base *http.Transport, plain, secure string) *http.Transport {
	b := base.Clone()
	b.TLSClientConfig.ServerName = "example.com"
	b.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		addr := map[string]string{"80": plain, "443": secure}[port]
		if addr == "" {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return b
}

// A host without a port that ggcr takes for local has its registry at 443, and at
// 80 nothing, another server, or the same registry, which gets no password there.
func TestSchemeAtPort80(t *testing.T) {
	for _, host := range []string{"10.1.2.3", "registry.localhost"} {
		registry := newTLSSite(t, registrytest.New(registrytest.Behaviour{}).ServeHTTP)
		other := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
		base := registry.Client().Transport.(*http.Transport)
		for what, plain := range map[string]string{"nothing": "", "another server": other.host} {
			r := newRepository(t, host, "app", to(base, plain, registry.host), patient(Retry{Base: time.Millisecond}))
			a, _ := r.Start(t.Context(), digest.FromString("x"))
			wantStatus(t, host+", "+what+" at port 80", a, 202)
		}
		both := registrytest.New(registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "secret"}}})
		sent := &spy{next: both.Client()}
		r := newRepository(t, host, "app", sent, as("alice", "secret"))
		wantStatus(t, host+", both", r.Check(t.Context(), digest.FromString("x")), 404)
		nothingInClear(t, sent)
	}
}

// The registry is at 80, and at 443 is nothing, another server, or one whose
// certificate nobody trusts, as of an ingress.
func TestSchemeAtPort443(t *testing.T) {
	registry := newSite(t, registrytest.New(registrytest.Behaviour{}).ServeHTTP)
	other := newTLSSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	trusting := other.Client().Transport.(*http.Transport)
	for what, base := range map[string]*http.Transport{
		"nothing":                     to(trusting, registry.host, ""),
		"another server":              to(trusting, registry.host, other.host),
		"a certificate of its own":    to(&http.Transport{TLSClientConfig: &tls.Config{}}, registry.host, other.host),
		"a server that speaks no TLS": to(trusting, registry.host, registry.host),
	} {
		r := newRepository(t, "registry.localhost", "app", base, patient(Retry{Base: time.Millisecond}))
		a, _ := r.Start(t.Context(), digest.FromString("x"))
		wantStatus(t, what, a, 202)
		if !r.host.speaks("http") || a.Requests != 2 {
			t.Errorf("%s: http %v, %d requests", what, r.host.speaks("http"), a.Requests)
		}
	}
	r := newRepository(t, "registry.localhost", "app", to(trusting, "", ""), patient(Retry{Attempts: 1}))
	a, _ := r.Start(t.Context(), digest.FromString("x"))
	if err := a.Failure(); a.Heard() || !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "by http") {
		t.Errorf("nothing at either port: %v", err)
	}
	plain := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	r = newRepository(t, "registry.localhost", "app", to(trusting, plain.host, other.host), patient(Retry{Attempts: 1}))
	if a, _ = r.Start(t.Context(), digest.FromString("x")); a.Status != 404 || !r.host.speaks("https") {
		t.Errorf("other servers at both ports: %v", a.Failure())
	}
}

// A server at 80 that says yes to everything is no registry, beside one at 443 that
// answers without anything that shows it.
func TestSchemeOfCatchAll(t *testing.T) {
	base := tripper(func(req *http.Request) (*http.Response, error) {
		status := 404
		if req.URL.Scheme == "http" {
			status = 200
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})
	r := newRepository(t, "127.0.0.1", "app", base)
	wantStatus(t, "check", r.Check(t.Context(), digest.FromString("blob")), 404)
	if !r.host.speaks("https") {
		t.Error("https was not settled on")
	}
}
