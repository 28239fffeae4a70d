package netguard

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// A name that resolves to loopback when it is dialled reaches the victim
// without the guard, and not with it: the Guard's own dialer, a caller's with a
// resolver of its own, and a caller's of the old kind.
func TestDialChecksResolvedAddress(t *testing.T) {
	dns := &fakeDNS{answers: map[string][]string{
		"evil.example": {"127.0.0.1"},
	}}
	dns.install(t)
	withDefaultTransport(t)
	v := newVictim(t, false)
	url := v.url("evil.example")
	mustGet(t, newTransport(t, nil), url)
	v.bytes.Store(0)

	plain, custom, old := newTransport(t, nil), newTransport(t, nil), newTransport(t, nil)
	custom.DialContext = new(net.Dialer).DialContext
	//lint:ignore SA1019 callers' transports still have it
	old.Dial = new(net.Dialer).Dial
	for name, base := range map[string]http.RoundTripper{
		"no dialer": plain, "DialContext": custom, "Dial": old, "RoundTripper": wrapped{plain}, "default": nil,
	} {
		g := New("registry.example", base)
		t.Cleanup(g.CloseIdleConnections)
		mustRefuse(t, g, url)
		if n := v.bytes.Load(); n != 0 {
			t.Errorf("%s: the victim got %d bytes", name, n)
		}
	}
}

// The Guard's own dialer refuses before it connects.
func TestDialRefusesBeforeConnecting(t *testing.T) {
	dns := &fakeDNS{answers: map[string][]string{
		"evil.example": {"127.0.0.1"},
		"meta.example": {"169.254.169.254"},
		"near.example": {"10.255.255.1"},
	}}
	dns.install(t)
	withDefaultTransport(t)
	v := newVictim(t, false)
	for _, base := range []http.RoundTripper{newTransport(t, nil), nil} {
		mustRefuse(t, New("registry.example", base), v.url("evil.example"))
		mustRefuse(t, New("registry.example", base), "http://meta.example/")
		mustRefuse(t, New("registry.example", base), "http://near.example/")
		mustRefuse(t, New("127.0.0.1:5000", base), "http://meta.example/")
	}
	mustGet(t, newTransport(t, nil), v.url("127.0.0.1")) // accepted after all that came before
	if n := v.conns.Load(); n != 1 {
		t.Errorf("the victim got %d connections, want one without the Guard", n)
	}
}

// The same name over loopback works for a loopback registry.
func TestDialAllowsLoopbackRegistry(t *testing.T) {
	dns := &fakeDNS{answers: map[string][]string{"auth.example": {"127.0.0.1"}}}
	dns.install(t)
	withDefaultTransport(t)
	v := newVictim(t, false)
	for _, base := range []http.RoundTripper{newTransport(t, nil), nil} {
		g := New("127.0.0.1:5000", base)
		t.Cleanup(g.CloseIdleConnections)
		mustGet(t, g, v.url("auth.example"))
	}
}

// A name that is public when it is looked up and loopback when it is dialled
// fools a check made ahead, and not the Guard.
func TestRebinding(t *testing.T) {
	dns := &fakeDNS{answers: map[string][]string{
		"rebind.example": {"93.184.216.34", "127.0.0.1"},
		"other.example":  {"93.184.216.34", "127.0.0.1"},
	}}
	dns.install(t)
	v := newVictim(t, false)

	checkedAhead := func(rt http.RoundTripper, host string) error {
		addrs, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip4", host)
		if err != nil || len(addrs) != 1 || ClassOf(addrs[0]) != Public {
			t.Fatalf("look-up of %s: %v, %v; want one public address", host, addrs, err)
		}
		_, err = get(rt, v.url(host))
		return err
	}
	if err := checkedAhead(newTransport(t, nil), "rebind.example"); err != nil || v.bytes.Load() == 0 {
		t.Fatalf("the attack does not reach the victim without the guard: %v", err)
	}
	v.bytes.Store(0)
	g := New("registry.example", newTransport(t, nil))
	if err := checkedAhead(g, "other.example"); err == nil {
		t.Error("the Guard let a rebound name pass")
	}
	mustRefuse(t, g, v.url("other.example"))
	if n := v.bytes.Load(); n != 0 {
		t.Errorf("the victim got %d bytes", n)
	}
}

// withDefaultTransport gives the test an http.DefaultTransport without the
// environment's proxy, and with a dialer that only the registry may use.
func withDefaultTransport(t *testing.T) {
	t.Helper()
	old := http.DefaultTransport
	tr := newTransport(t, nil)
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		t.Errorf("the default transport's own dialer was used for %s", address)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	http.DefaultTransport = tr
	t.Cleanup(func() { http.DefaultTransport = old })
}
