package stress_test

import (
	"context"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// server serves a registry on loopback. It counts connections and requests, and
// can be stopped and started again on the same port, with the same registry or
// another.
type server struct {
	addr     string
	wrap     func(http.Handler) http.Handler // around the registry; nil for nothing
	crossed  bool                            // a client that goes away may cancel a session that a request of its holds still
	open     atomic.Int64                    // connections
	underWay atomic.Int64                    // requests

	// mu guards the fields below.
	mu       sync.Mutex
	registry *registrytest.Registry
	stop     func()
	sessions map[string]bool // upload sessions that were ever handed out
}

// serve serves a new registry with the manners of b until the test ends.
func serve(t testing.TB, b registrytest.Behaviour, wrap func(http.Handler) http.Handler) *server {
	t.Helper()
	s := &server{wrap: wrap, sessions: map[string]bool{}}
	s.start(t, registrytest.New(b), "127.0.0.1:0")
	t.Cleanup(func() {
		s.halt()
		s.check(t)
	})
	return s
}

// start serves r at the address.
func (s *server) start(t testing.TB, r *registrytest.Registry, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	var handler http.Handler = r
	if s.wrap != nil {
		handler = s.wrap(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			s.underWay.Add(1)
			defer s.underWay.Add(-1)
			defer s.note(w.Header())
			handler.ServeHTTP(w, req)
		}),
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0), // connections break on purpose
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.open.Add(-1)
			}
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(listener) // returns ErrServerClosed, always
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry = r
	s.stop = func() {
		_ = h.Close()
		cancel()
		<-done
	}
}

// halt breaks all connections and takes no more, and waits for the requests
// under way.
func (s *server) halt() {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	stop()
	for s.underWay.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// note keeps the session that a reply hands out.
func (s *server) note(reply http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := reply.Get("Docker-Upload-Uuid"); id != "" {
		s.sessions[id] = true
	}
}

// forget makes the registry lose all sessions that it has handed out.
func (s *server) forget() {
	s.mu.Lock()
	gone := maps.Clone(s.sessions)
	s.mu.Unlock()
	s.now().Inject(registrytest.Fault{
		Do: registrytest.SessionGone,
		Match: func(e registrytest.Entry) bool {
			at, _, _ := strings.Cut(e.URL, "?")
			return gone[path.Base(at)]
		},
	})
}

// now returns the registry that is served.
func (s *server) now() *registrytest.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registry
}

// check fails the test for what the specification forbids.
func (s *server) check(t testing.TB) {
	t.Helper()
	for _, v := range s.now().Violations() {
		if s.crossed && strings.Contains(v, ", DELETE /v2/") {
			continue
		}
		t.Errorf("the specification forbids: %s", v)
	}
}

// await waits until something is true, for ten seconds at the most.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// fill puts layers into a repository without a request.
func fill(t testing.TB, r *registrytest.Registry, repo string, layers []layer) {
	t.Helper()
	for _, l := range layers {
		content, err := io.ReadAll(l.open())
		if err != nil {
			t.Fatal(err)
		}
		r.PutBlob(repo, content)
	}
}

// blobs returns the digests and sizes of all that an image is made of.
func blobs(t testing.TB, img v1.Image) map[digest.Digest]int64 {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	out := map[digest.Digest]int64{digest.Digest(m.Config.Digest.String()): m.Config.Size}
	for _, l := range m.Layers {
		out[digest.Digest(l.Digest.String())] = l.Size
	}
	return out
}

// standing returns those blobs that a repository holds.
func standing(r *registrytest.Registry, repo string, all map[digest.Digest]int64) map[digest.Digest]int64 {
	out := map[digest.Digest]int64{}
	for d, size := range all {
		if _, ok := r.Blob(repo, d); ok {
			out[d] = size
		}
	}
	return out
}

// total adds up sizes.
func total(blobs map[digest.Digest]int64) int64 {
	var sum int64
	for _, size := range blobs {
		sum += size
	}
	return sum
}
