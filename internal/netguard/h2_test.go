package netguard

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// The clone for other hosts speaks the HTTP version that the caller's transport
// would speak.
func TestHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)

	plain := &http.Transport{}
	plain.Clone() // readies it for HTTP/2
	plain.TLSClientConfig.InsecureSkipVerify = true
	never := newTransport(t, nil)
	never.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	forced := newTransport(t, nil)
	forced.ForceAttemptHTTP2 = true
	dialer := newTransport(t, hosts{})
	for name, base := range map[string]*http.Transport{
		"plain": plain, "own TLS configuration": newTransport(t, nil), "forced": forced, "never": never, "dialer": dialer,
	} {
		t.Run(name, func(t *testing.T) {
			want := proto(t, base, s.URL)
			g := New("127.0.0.1:1", base)
			t.Cleanup(g.CloseIdleConnections)
			if got := proto(t, g, s.URL); got != want {
				t.Errorf("the Guard spoke %s, the transport %s", got, want)
			}
		})
	}
}

// Over HTTP/2 too, what a connection leads to is seen before a request is sent.
func TestHTTP2IsWatched(t *testing.T) {
	var requests atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Host != "registry.example" {
			requests.Add(1)
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	base := newTransport(t, hosts{"registry.example": "10.0.0.1:" + port, "auth.example": "10.0.0.2", "evil.example": "127.0.0.1"})
	base.ForceAttemptHTTP2 = true
	g := New("registry.example", wrapped{base})
	mustGet(t, g, "https://registry.example/v2/")
	mustGet(t, g, "https://auth.example:"+port+"/")
	for i := range 20 {
		if i%2 == 1 {
			mustGet(t, base, "https://evil.example:"+port+"/") // leaves an idle connection
		}
		requests.Store(0)
		mustRefuse(t, g, "https://evil.example:"+port+"/")
		if n := requests.Load(); n != 0 {
			t.Fatalf("attempt %d: %d requests arrived", i, n)
		}
	}
}

func proto(t *testing.T, rt http.RoundTripper, url string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
