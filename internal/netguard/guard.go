package netguard

import (
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
)

// A Guard is an [http.RoundTripper] for the requests that a client of one
// registry makes: to the registry itself, and to the hosts that it names.
//
// Requests to the registry's own host and port are always sent: whoever uses
// the client named it. A registry that is named by an IP address or as localhost
// has the class of that name. Otherwise its class is that of the addresses to
// which its connections are made. Of several the strictest counts, the public
// one first, so that a registry cannot widen its reach with a further address.
//
// A request to any other host is refused with an [*Error] if [Allowed] says so.
// This is checked up to three times, and a refused request is never written:
//
//   - before anything is sent: addresses, names that mean loopback or a metadata
//     service, unusual spellings of an address, and schemes other than HTTP;
//   - at the dial, if base is an *http.Transport: each address before it is
//     dialled if base has no dialer of its own, otherwise the remote address of
//     the connection that its DialContext returns;
//   - when a request gets its connection, new or idle, for every base that
//     reports it to [net/http/httptrace].
//
// What cannot be checked: behind a proxy the proxy resolves the names, so only
// the first check applies, and nothing is learnt of the registry's class. A
// dialer that tunnels shows the tunnel's address. A connection without an IP
// address, such as a Unix socket, was chosen by the caller's own dialer and
// passes. Names are never resolved ahead: the answer would prove nothing about
// the dial.
//
// A Guard follows no redirects, has no goroutine, and is safe for concurrent
// use if base is.
type Guard struct {
	registry endpoint
	named    bool              // the class follows from the registry's name and stays
	own      []*http.Transport // that nobody else uses
	base     http.RoundTripper
	direct   http.RoundTripper // for other hosts that are reached without a proxy
	proxy    func(*http.Request) (*url.URL, error)

	mu    sync.Mutex // guards class
	class Class
}

// New returns a Guard for the registry at registryHost, which is host[:port].
// Without a port, https on 443 and http on 80 are the registry's own.
//
// Requests to the registry, and those that go through a proxy, are sent with
// base. If base is an *http.Transport, others are sent with a clone of it, so
// the two share no connections, and later changes to base do not count for it.
// A nil base means a clone of [http.DefaultTransport] that keeps idle
// connections, of which that itself keeps two a host; they are closed when the
// Guard is collected as garbage, if not before. The clone for other hosts then
// gets a dialer of the Guard in place of its own, with the same timeouts.
func New(registryHost string, base http.RoundTripper) *Guard {
	g := &Guard{registry: endpointOf(registryHost)}
	g.class, _ = classOfName(g.registry.host)
	g.named = g.class != Unknown
	own := base == nil
	if own {
		base = g.pool()
	}
	g.base, g.direct = base, base
	if t, ok := base.(*http.Transport); ok {
		g.proxy = t.Proxy
		direct := g.guarded(t, own)
		g.direct, g.own = direct, []*http.Transport{direct}
		if own {
			g.own = append(g.own, t)
		}
	}
	return g
}

// maxIdle is how many idle connections to a host are kept: as many as there were
// requests at once, up to this.
const maxIdle = 1024

// pool returns a transport for a Guard that was given none.
func (g *Guard) pool() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, maxIdle
	runtime.AddCleanup(g, (*http.Transport).CloseIdleConnections, t)
	return t
}

// RoundTrip sends req, unless the registry may not lead to its host. Errors:
// those of base; an [*Error], perhaps wrapped, for a refusal.
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if g.registry.matches(req.URL) {
		if g.named {
			return g.base.RoundTrip(req)
		}
		return g.base.RoundTrip(g.learning(req))
	}
	rt, err := g.route(req)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	return g.watched(rt, req)
}

// CloseOwn closes the idle connections of the Guard, but not those of a base that
// it was given.
func (g *Guard) CloseOwn() {
	for _, t := range g.own {
		t.CloseIdleConnections()
	}
}

// CloseIdleConnections closes the idle connections of the Guard and, like
// [http.Client.CloseIdleConnections], those of base.
func (g *Guard) CloseIdleConnections() {
	for _, rt := range []http.RoundTripper{g.direct, g.base} {
		if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// route makes the first check of a request to another host and says what
// carries the request.
func (g *Guard) route(req *http.Request) (http.RoundTripper, error) {
	if err := g.checkName(req.URL); err != nil {
		return nil, err
	}
	if g.proxy == nil {
		return g.direct, nil
	}
	proxy, err := g.proxy(req)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		return g.base, nil
	}
	return g.direct, nil
}

// checkName refuses what can be refused without a look-up.
func (g *Guard) checkName(u *url.URL) error {
	host := u.Hostname()
	if schemePort(u.Scheme) == "" {
		return &Error{Host: host, Reason: "neither http nor https"}
	}
	if host == "" || !printableASCII(host) {
		return &Error{Host: host, Reason: "not a host name"}
	}
	class, addr := classOfName(host)
	if class == Unknown {
		if readsAsAddress(host) {
			return &Error{Host: host, Reason: "an address in an unusual form"}
		}
		return nil
	}
	return g.check(host, addr, class)
}

// checkAddr refuses an address to which the registry may not lead.
func (g *Guard) checkAddr(host string, addr netip.Addr) error {
	return g.check(host, addr, ClassOf(addr))
}

// check refuses a host of a class to which the registry may not lead.
func (g *Guard) check(host string, addr netip.Addr, other Class) error {
	registry := g.registryClass()
	if Allowed(registry, other) {
		return nil
	}
	return refusal(host, addr, registry, other)
}

// registryClass gives what is known of the registry's own address.
func (g *Guard) registryClass() Class {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.class
}

// learn takes note of an address that belongs to the registry. The first one
// counts until a stricter one is seen: a registry that has a public address as
// well stays public, whatever else its name resolves to later.
func (g *Guard) learn(addr netip.Addr) {
	seen := ClassOf(addr)
	if seen == Unknown {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.class == Unknown || reach(seen) < reach(g.class) {
		g.class = seen
	}
}

// reach counts the classes to which a registry of class c may lead.
func reach(c Class) int {
	n := 0
	for other := Unknown; other <= Forbidden; other++ {
		if Allowed(c, other) {
			n++
		}
	}
	return n
}
