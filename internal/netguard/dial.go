package netguard

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// A dialFunc is the type of http.Transport's DialContext.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// guarded clones t for hosts that are reached without a proxy, with the check
// at the dial. If own is set, the Guard dials itself whatever t's dialer is.
func (g *Guard) guarded(t *http.Transport, own bool) *http.Transport {
	clone := t.Clone()
	clone.Proxy = nil
	if c := clone.TLSClientConfig; c != nil && clone.TLSNextProto == nil && slices.Contains(c.NextProtos, "h2") {
		// t offers HTTP/2 because it has no dialer; the clone has one, and
		// would offer it likewise but then not speak it.
		clone.ForceAttemptHTTP2 = true
	}
	dial := dialFunc(t.DialContext)
	//lint:ignore SA1019 a caller's transport may still have it
	if legacy := t.Dial; dial == nil && legacy != nil {
		dial = func(_ context.Context, network, address string) (net.Conn, error) {
			return legacy(network, address)
		}
	}
	if own || dial == nil {
		clone.DialContext = g.dial
	} else {
		clone.DialContext = g.checked(dial)
	}
	return clone
}

// dial connects to address and checks each address to which its host resolves
// right before the connection to it is begun.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		Timeout:   30 * time.Second, // as http.DefaultTransport
		KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return &Error{Host: host, Reason: "resolves to no IP address"}
			}
			return g.checkAddr(host, to.Addr())
		},
	}
	return d.DialContext(ctx, network, address)
}

// checked wraps a caller's dialer: the connection that it returns is closed
// before anything is sent on it, a TLS greeting included, if the registry may
// not lead to its remote address.
func (g *Guard) checked(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(address)
		if err == nil {
			err = g.checkConn(host, conn)
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// checkConn refuses a connection to an address to which the registry may not
// lead. A connection without an IP address passes.
func (g *Guard) checkConn(host string, conn net.Conn) error {
	addr, ok := remoteAddr(conn)
	if !ok {
		return nil
	}
	return g.checkAddr(host, addr)
}

// remoteAddr gives the IP address to which conn leads, if it has one.
func remoteAddr(conn net.Conn) (netip.Addr, bool) {
	if conn == nil || conn.RemoteAddr() == nil {
		return netip.Addr{}, false
	}
	to, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return to.Addr(), err == nil
}
