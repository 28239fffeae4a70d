package stress_test

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// pushes is how many pushes one after the other use the same connections.
const pushes = 3

// TestProtocols pushes over HTTP/1.1 and over HTTP/2, and counts the
// connections: over HTTP/1.1 some more than the requests at once, because
// net/http goes on with a dial when another connection was faster; over HTTP/2
// one, and one to see that a server on loopback wants TLS.
func TestProtocols(t *testing.T) {
	for _, tt := range []struct {
		name        string
		http2       bool
		standard    bool // the Pusher has no transport but that of net/http
		concurrency int
		protocol    string
		most        int // connections
	}{
		{"HTTP/1.1", false, false, 8, "HTTP/1.1", 16},
		{"HTTP/1.1, one at a time", false, false, 1, "HTTP/1.1", 1},
		{"HTTP/1.1 without a transport", false, true, 8, "HTTP/1.1", 16},
		{"HTTP/2", true, false, 8, "HTTP/2.0", 2},
		{"HTTP/2, many at once", true, false, 64, "HTTP/2.0", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{LocationForm: registrytest.LocationAbsolute})
			seen := &protocols{Handler: r, count: map[string]int{}}
			base, l := listen(t, seen, tt.http2)
			opts := []push.Option{push.WithConcurrency(tt.concurrency)}
			if !tt.standard {
				opts = append(opts, push.WithTransport(base))
			}
			p := pusher(t, opts...)
			for n := range pushes {
				img := mustImage(t, "app", makeLayers(t, uint64(50+n), 24, 128<<10))
				if _, err := p.Push(context.Background(), img, reference(t, l.Addr().String(), "app:v1")); err != nil {
					t.Fatal(err)
				}
				if err := r.Complete("app", "v1"); err != nil {
					t.Error(err)
				}
			}
			accepted, counts := l.accepted.Load(), seen.counts()
			t.Logf("%v in %d pushes; %d connections", counts, pushes, accepted)
			if len(counts) != 1 || counts[tt.protocol] == 0 {
				t.Errorf("not all requests came over %s: %v", tt.protocol, counts)
			}
			if accepted > int64(tt.most) {
				t.Errorf("%d connections, more than %d", accepted, tt.most)
			}
			for _, v := range r.Violations() {
				t.Errorf("the specification forbids: %s", v)
			}
		})
	}
}

// listen serves a handler and returns a transport that reaches it.
func listen(t testing.TB, handler http.Handler, http2 bool) (*http.Transport, *listener) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	l := &listener{Listener: s.Listener}
	s.Listener = l
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the first request shows that the server wants TLS
	s.EnableHTTP2 = http2
	base := transport(t)
	if http2 {
		s.StartTLS()
		base.TLSClientConfig.RootCAs = x509.NewCertPool()
		base.TLSClientConfig.RootCAs.AddCert(s.Certificate())
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return base, l
}

// listener counts the connections that it takes.
type listener struct {
	net.Listener
	accepted atomic.Int64
}

// Accept takes a connection.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

// protocols counts requests by the version of HTTP over which they come.
type protocols struct {
	http.Handler

	// mu guards count.
	mu    sync.Mutex
	count map[string]int
}

// ServeHTTP counts a request and passes it on.
func (p *protocols) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.count[r.Proto]++
	p.mu.Unlock()
	p.Handler.ServeHTTP(w, r)
}

func (p *protocols) counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.count)
}

// TestConnectionsEnd forgets a Pusher: its idle connections are closed without
// anyone asking for it.
func TestConnectionsEnd(t *testing.T) {
	s := serve(t, registrytest.Behaviour{}, nil)
	func() {
		img := mustImage(t, "app", makeLayers(t, 60, 8, 64<<10))
		if _, err := pusher(t).Push(context.Background(), img, reference(t, s.addr, "app:v1")); err != nil {
			t.Fatal(err)
		}
	}()
	if s.open.Load() == 0 {
		t.Fatal("no connection is left that could be closed")
	}
	await(t, "the end of the connections", func() bool {
		runtime.GC()
		return s.open.Load() == 0
	})
}
