package netguard

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// wrapped hides what kind of RoundTripper it holds.
type wrapped struct{ http.RoundTripper }

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// get sends one GET, reads the reply, and gives its status.
func get(rt http.RoundTripper, url string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// mustGet fails the test unless the request succeeds.
func mustGet(t *testing.T, rt http.RoundTripper, url string) {
	t.Helper()
	if status, err := get(rt, url); status != http.StatusOK || err != nil {
		t.Fatalf("GET %s: %d, %v; want 200", url, status, err)
	}
}

// mustRefuse fails the test unless the request is refused with host and reason.
func mustRefuse(t *testing.T, rt http.RoundTripper, url string) {
	t.Helper()
	status, err := get(rt, url)
	var refused *Error
	if !errors.Is(err, ErrForbidden) || !errors.As(err, &refused) {
		t.Fatalf("GET %s: %d, %v; want a refusal", url, status, err)
	}
	if refused.Reason == "" || refused.Host == "" || !strings.Contains(url, refused.Host) {
		t.Errorf("GET %s: refusal %+v names no host or reason", url, refused)
	}
}

// newTransport gives a transport that dials with h and trusts every server.
func newTransport(t *testing.T, h hosts) *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if h != nil {
		tr.DialContext = h.dial
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// newRegistry serves a registry whose name and address h then holds.
func newRegistry(t *testing.T, h hosts, name, addr string) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	h[name] = net.JoinHostPort(addr, port)
	return "http://" + name + "/v2/"
}
