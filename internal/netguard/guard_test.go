package netguard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Each attack reaches a service on loopback without the guard. With it, the
// service gets not one byte, whichever way the base transport is built.
func TestAttacksFromPublicRegistry(t *testing.T) {
	for _, tt := range []struct {
		name  string
		host  string
		hosts hosts // how a lax resolver sees the host
		tls   bool
	}{
		{"address", "127.0.0.1", nil, false},
		{"address over TLS", "127.0.0.1", nil, true},
		{"other loopback address", "127.9.9.9", hosts{"127.9.9.9": "127.9.9.9"}, false},
		{"unspecified address", "0.0.0.0", nil, false},
		{"IPv6 loopback", "[::1]", hosts{"::1": "::1"}, false},
		{"mapped address", "[::ffff:127.0.0.1]", nil, false},
		{"mapped address, hexadecimal", "[::ffff:7f00:1]", nil, false},
		{"decimal", "2130706433", hosts{"2130706433": "127.0.0.1"}, false},
		{"hexadecimal", "0x7f000001", hosts{"0x7f000001": "127.0.0.1"}, false},
		{"octal", "0177.0.0.1", hosts{"0177.0.0.1": "127.0.0.1"}, false},
		{"short", "127.1", hosts{"127.1": "127.0.0.1"}, false},
		{"full-width", "127。0。0。1", nil, false},
		{"trailing dot", "127.0.0.1.", hosts{"127.0.0.1.": "127.0.0.1"}, false},
		{"localhost", "LocalHost", hosts{"LocalHost": "127.0.0.1"}, false},
		{"below localhost", "a.localhost", hosts{"a.localhost": "127.0.0.1"}, false},
		{"name", "evil.example", hosts{"evil.example": "127.0.0.1"}, false},
		{"name over TLS", "evil.example", hosts{"evil.example": "127.0.0.1"}, true},
		{"name, IPv6", "evil.example", hosts{"evil.example": "::1"}, false},
		{"private network", "evil.example", hosts{"evil.example": "10.0.0.5"}, false},
		{"metadata address", "169.254.169.254", hosts{"169.254.169.254": "169.254.169.254"}, false},
		{"metadata name", "metadata.google.internal", hosts{"metadata.google.internal": "169.254.169.254"}, false},
		{"name of metadata", "evil.example", hosts{"evil.example": "169.254.169.254"}, false},
		{"NAT64", "evil.example", hosts{"evil.example": "64:ff9b::7f00:1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVictim(t, tt.tls)
			h := hosts{}
			for name, addr := range tt.hosts {
				h[name] = addr
			}
			registry := newRegistry(t, h, "registry.example", "93.184.216.34")
			url := v.url(tt.host)

			mustGet(t, newTransport(t, h), url)
			if v.bytes.Load() == 0 {
				t.Fatal("the attack does not reach the victim without the guard")
			}
			v.bytes.Store(0)

			g := New("registry.example", newTransport(t, h))
			mustGet(t, g, registry)
			mustRefuse(t, g, url)
			if n := v.bytes.Load(); n != 0 {
				t.Errorf("the victim got %d bytes", n)
			}

			g = New("registry.example", wrapped{newTransport(t, h)})
			mustGet(t, g, registry)
			mustRefuse(t, g, url)
			if n := v.bytes.Load(); n != 0 && !tt.tls { // a TLS greeting cannot be kept from a foreign dialer
				t.Errorf("the victim got %d bytes through a foreign RoundTripper", n)
			}
		})
	}
}

// Many refused requests over a RoundTripper that cannot be checked at the dial,
// on new connections and on idle ones that others made: nothing is written.
func TestSecondLineWritesNothing(t *testing.T) {
	v := newVictim(t, false)
	inner := newTransport(t, hosts{"evil.example": "127.0.0.1"})
	url := v.url("evil.example")
	g := New("registry.example", wrapped{inner})
	for i := range 100 {
		if i%2 == 1 { // leaves an idle connection
			mustGet(t, inner, url)
		}
		v.bytes.Store(0)
		mustRefuse(t, g, url)
		if n := v.bytes.Load(); n != 0 {
			t.Fatalf("request %d: the victim got %d bytes", i, n)
		}
	}
}

// The Guard's clone shares no idle connections with the caller's transport.
func TestIdleConnectionsAreNotShared(t *testing.T) {
	v := newVictim(t, false)
	base := newTransport(t, nil)
	url := v.url("127.0.0.1")
	mustGet(t, base, url)
	mustRefuse(t, New("registry.example", base), url)
}

func TestLoopbackRegistryReachesNeighbours(t *testing.T) {
	registry, tokens := newVictim(t, false), newVictim(t, false)
	h := hosts{"auth.example": "127.0.0.1", "metadata.example": "169.254.169.254", "near.example": "192.168.1.2", "link.example": "169.254.7.7"}
	for _, name := range []string{"127.0.0.1", "localhost"} {
		for _, base := range []http.RoundTripper{newTransport(t, h), wrapped{newTransport(t, h)}} {
			g := New(name+":"+registry.port, base)
			mustGet(t, g, tokens.url("127.0.0.1")) // even before the registry was asked
			mustGet(t, g, registry.url(name))
			mustGet(t, g, tokens.url("auth.example"))
			mustGet(t, g, tokens.url("near.example"))
			for _, host := range []string{"169.254.169.254", "metadata.example", "link.example", "[fd00:ec2::254]", "0.0.0.0"} {
				mustRefuse(t, g, tokens.url(host))
			}
		}
	}
}

func TestPrivateRegistryReachesItsNetwork(t *testing.T) {
	v := newVictim(t, false)
	h := hosts{"auth.corp": "10.7.0.2", "storage.example": "8.8.8.8", "evil.corp": "127.0.0.1", "meta.corp": "100.100.100.200"}
	registry := newRegistry(t, h, "registry.corp", "10.1.0.1")
	for _, base := range []http.RoundTripper{newTransport(t, h), wrapped{newTransport(t, h)}} {
		g := New("registry.corp", base)
		mustRefuse(t, g, v.url("auth.corp")) // nothing is known of the registry yet
		mustGet(t, g, registry)
		mustGet(t, g, v.url("auth.corp"))
		mustGet(t, g, v.url("storage.example"))
		for _, host := range []string{"127.0.0.1", "localhost", "evil.corp", "meta.corp"} {
			mustRefuse(t, g, v.url(host))
		}
	}
}

// A registry that has been seen at a public address cannot widen its reach by
// resolving to another one later.
func TestRegistryCannotWidenItsReach(t *testing.T) {
	v := newVictim(t, false)
	h := hosts{"auth.corp": "10.7.0.2"}
	registry := newRegistry(t, h, "registry.example", "10.0.0.1")
	inner := h["registry.example"]
	base := newTransport(t, h)
	base.DisableKeepAlives = true
	g := New("registry.example", base)
	mustGet(t, g, registry)
	mustGet(t, g, v.url("auth.corp"))

	h["registry.example"] = strings.Replace(inner, "10.0.0.1", "8.8.8.8", 1)
	mustGet(t, g, registry)
	mustRefuse(t, g, v.url("auth.corp"))

	h["registry.example"] = strings.Replace(inner, "10.0.0.1", "127.0.0.1", 1)
	mustGet(t, g, registry)
	mustRefuse(t, g, v.url("auth.corp"))
	mustRefuse(t, g, v.url("127.0.0.1"))
}

// What the name says of a registry stays, wherever its connections lead.
func TestNamedRegistryKeepsItsClass(t *testing.T) {
	v := newVictim(t, false)
	h := hosts{"localhost": "10.0.0.1"}
	g := New("localhost:"+v.port, newTransport(t, h))
	mustGet(t, g, v.url("localhost"))
	mustGet(t, g, v.url("127.0.0.1"))
}

// A proxy on loopback does not make a registry a loopback one.
func TestProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(proxy.Close)
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	v := newVictim(t, false)
	h := hosts{"direct.example": "127.0.0.1"}
	newBase := func() *http.Transport {
		base := newTransport(t, h)
		base.Proxy = func(req *http.Request) (*url.URL, error) {
			switch req.URL.Hostname() {
			case "direct.example":
				return nil, nil
			case "broken.example":
				return nil, errors.New("no proxy for it")
			}
			return proxyURL, nil
		}
		return base
	}
	for _, base := range []http.RoundTripper{newBase(), wrapped{newBase()}} {
		asked.Store(0)
		g := New("registry.example", base)
		mustGet(t, g, "http://registry.example/v2/")
		mustGet(t, g, "http://storage.example/")
		if n := asked.Load(); n != 2 {
			t.Errorf("the proxy got %d requests, want 2", n)
		}
		mustRefuse(t, g, v.url("127.0.0.1"))
		mustRefuse(t, g, v.url("169.254.169.254"))
		mustRefuse(t, g, v.url("direct.example"))
		if _, err := get(g, "http://broken.example/"); err == nil || errors.Is(err, ErrForbidden) {
			t.Errorf("broken proxy choice: %v, want its error", err)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("the proxy got %d requests, want no more than 2", n)
		}
	}
}

// A connection without an IP address was chosen by the caller's dialer.
func TestUnixSocketPasses(t *testing.T) {
	v := newVictim(t, false)
	base := newTransport(t, nil)
	h := hosts{"tunnel.example": "8.8.8.8"}
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := h.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return shownConn{conn, &net.UnixAddr{Net: "unix", Name: "/run/tunnel"}}, nil
	}
	g := New("registry.example", base)
	mustGet(t, g, v.url("tunnel.example"))
	mustRefuse(t, g, v.url("127.0.0.1"))
}

func TestRefusalClosesBody(t *testing.T) {
	h := hosts{"evil.example": "127.0.0.1"}
	v := newVictim(t, false)
	for _, host := range []string{"127.0.0.1", "evil.example"} {
		for _, base := range []http.RoundTripper{newTransport(t, h), wrapped{newTransport(t, h)}} {
			body := &closeCounter{Reader: strings.NewReader("layer")}
			req, err := http.NewRequest(http.MethodPut, v.url(host), body)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := New("registry.example", base).RoundTrip(req); !errors.Is(err, ErrForbidden) {
				t.Fatalf("PUT to %s: %v, want a refusal", host, err)
			}
			if body.closed.Load() == 0 {
				t.Errorf("PUT to %s: the body was not closed", host)
			}
		}
	}
}

type closeCounter struct {
	io.Reader
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	v := newVictim(t, false)
	s := httptest.NewServer(http.RedirectHandler(v.url("127.0.0.1"), http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	g := New("127.0.0.1:1", newTransport(t, nil))
	if status, err := get(g, s.URL); status != http.StatusTemporaryRedirect || err != nil {
		t.Errorf("GET: %d, %v; want the redirect itself", status, err)
	}
	if n := v.bytes.Load(); n != 0 {
		t.Errorf("the redirect's target got %d bytes", n)
	}
}

func TestCloseIdleConnections(t *testing.T) {
	states := make(chan http.ConnState, 16)
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			states <- state
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	g := New("localhost:"+port, newTransport(t, hosts{"localhost": "127.0.0.1"}))
	mustGet(t, g, "http://localhost:"+port)
	mustGet(t, g, s.URL)
	g.CloseOwn()
	<-states // the other host's connection: that of the registry may be of use to others
	mustGet(t, g, "http://localhost:"+port)
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections were opened, want 2", n)
	}
	mustGet(t, g, s.URL)
	g.CloseIdleConnections()
	for range 2 { // the registry's connection and the other host's
		<-states
	}
}

func TestConcurrentUse(t *testing.T) {
	v := newVictim(t, false)
	h := hosts{"storage.example": "8.8.8.8", "evil.example": "127.0.0.1"}
	registry := newRegistry(t, h, "registry.example", "93.184.216.34")
	g := New("registry.example", newTransport(t, h))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for _, url := range []string{registry, v.url("storage.example")} {
				if status, err := get(g, url); status != 200 || err != nil {
					t.Errorf("GET %s: %d, %v", url, status, err)
				}
			}
			if _, err := get(g, v.url("evil.example")); !errors.Is(err, ErrForbidden) {
				t.Errorf("GET evil.example: %v, want a refusal", err)
			}
		})
	}
	wg.Wait()
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{refusal("evil.example", netip.MustParseAddr("127.0.0.1"), Public, Loopback),
			`netguard: "evil.example" (127.0.0.1) refused: loopback address; the registry's own is public`},
		{refusal("127.0.0.1", netip.MustParseAddr("127.0.0.1"), Unknown, Loopback),
			`netguard: "127.0.0.1" refused: loopback address; the registry's own is unknown`},
		{fmt.Errorf("token: %w", &Error{Host: "0x7f.1", Reason: "an address in an unusual form"}),
			`token: netguard: "0x7f.1" refused: an address in an unusual form`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		if !errors.Is(tt.err, ErrForbidden) {
			t.Errorf("%v does not match ErrForbidden", tt.err)
		}
	}
}
