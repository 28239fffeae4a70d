package netguard

import (
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
)

// A path observes over which connections one request goes.
type path struct {
	direct string // the first hop if there is no proxy

	mu      sync.Mutex // guards the fields below
	hop     string     // the first hop as reported, "" if it is not
	refused error      // why the request must not be sent
}

// trace returns req with a trace that calls got, after p has noted the hop,
// for each connection that req gets.
func (p *path) trace(req *http.Request, got func(httptrace.GotConnInfo)) *http.Request {
	p.direct = firstHop(req.URL)
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(hop string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.hop = hop
		},
		GotConn: got,
	}))
}

// proxied reports whether the first hop is known, and whether it is another
// host than the request's.
func (p *path) proxied() (known, proxied bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hop != "", !strings.EqualFold(p.hop, p.direct)
}

// refuse notes why the request must not be sent.
func (p *path) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = err
}

// refusal gives what refuse noted.
func (p *path) refusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// learning returns a request to the registry itself whose connection, if it
// surely leads there and not to a proxy, shows the registry's address. The
// connection is seen before the registry's reply, so what a reply names is always
// judged by the address that the reply came from, or more strictly.
func (g *Guard) learning(req *http.Request) *http.Request {
	var p path
	return p.trace(req, func(info httptrace.GotConnInfo) {
		if known, proxied := p.proxied(); !known || proxied {
			return
		}
		if addr, ok := remoteAddr(info.Conn); ok {
			g.learn(addr)
		}
	})
}

// watched sends a request to another host with rt and refuses a connection to
// an address to which the registry may not lead. Such a connection is closed,
// although a trace should leave that to the transport: after the trace net/http
// hands the request to the goroutine that writes it without another look at
// the request's context, so to cancel that might come too late.
func (g *Guard) watched(rt http.RoundTripper, req *http.Request) (*http.Response, error) {
	var p path
	host := req.URL.Hostname()
	resp, err := rt.RoundTrip(p.trace(req, func(info httptrace.GotConnInfo) {
		if known, proxied := p.proxied(); known && proxied {
			return
		}
		if info.Conn == nil {
			return
		}
		if err := g.checkConn(host, info.Conn); err != nil {
			p.refuse(err)
			info.Conn.Close()
		}
	}))
	if refused := p.refusal(); refused != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return nil, refused
	}
	return resp, err
}
