package registrytest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// TB is the part of testing.TB that Start needs, so that examples do not link the testing package.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Server is a registry that serves on loopback.
type Server struct {
	Registry *Registry
	Host     string // 127.0.0.1:port
	URL      string // http://127.0.0.1:port
}

// Start serves a new registry with the manners of b until the test ends. The test then fails for each of
// the registry's Violations.
func Start(t TB, b Behaviour) *Server {
	t.Helper()
	r := New(b)
	host, closeServer, err := Serve(r)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	t.Cleanup(func() {
		closeServer()
		for _, v := range r.Violations() {
			t.Errorf("the specification forbids: %s", v)
		}
	})
	return &Server{Registry: r, Host: host, URL: "http://" + host}
}

// Serve serves h over plain HTTP on a free port of 127.0.0.1. It returns host:port and a function that
// breaks all connections, ends the contexts of all requests and waits for their handlers.
func Serve(h http.Handler) (host string, closeServer func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	running := &gate{handler: h}
	server := &http.Server{
		Handler:           running,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// Connections break on purpose here; that is nothing to write about.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Serve returns ErrServerClosed, always.
		_ = server.Serve(listener)
	}()
	return listener.Addr().String(), func() {
		cancel()
		_ = server.Close()
		<-done
		running.close()
	}, nil
}

// gate counts the requests that a handler is serving, so that closing can wait for them.
type gate struct {
	handler http.Handler
	// mu guards closed, and that no request begins once it is set.
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// ServeHTTP serves the request unless the gate is closed.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		abort()
	}
	defer g.wg.Done()
	g.handler.ServeHTTP(w, r)
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.wg.Add(1)
	}
	return !g.closed
}

// close lets no more requests in and waits for those inside.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}
