// Package registries starts real registries on loopback, each behind a log of
// what reaches it.
package registries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/crossmount/crossmount/internal/e2e/traffic"
	"github.com/crossmount/crossmount/internal/registrytest"
)

// Kind is a registry that can be started.
type Kind struct {
	// Name is unique among the kinds.
	Name string
	// Mounts says that blobs can be mounted from a named repository.
	Mounts bool
	// Distribution says that it is CNCF distribution, for which the bounds are.
	Distribution bool
	// Resumes says that the session of an upload that was cut keeps what arrived,
	// says how much that is, and takes the rest.
	Resumes bool

	// disk says that the registry keeps its content in a directory.
	disk bool
	// start makes the registry of that place.
	start func(context.Context, place) (*started, error)
}

// place is where a registry is: it will answer at host, and keeps its content in
// dir, or in memory if that is "".
type place struct{ host, dir string }

// started is a registry that runs.
type started struct {
	handler http.Handler
	stop    func()
	tokens  *TokenServer
}

// Server is a registry that serves on loopback.
type Server struct {
	// Host is 127.0.0.1 and the port.
	Host string
	// Log has the requests that reached the registry.
	Log *traffic.Log
	// Tokens is the registry's token server, or nil for none.
	Tokens *TokenServer

	stop func()
}

// All returns the kinds that can be started here, and the names of those that
// cannot, because their program is not installed.
func All() (kinds []Kind, leftOut []string) {
	kinds = []Kind{Distribution(), DistributionWithTokens(Everybody(), false), OLAReg(), Cue(), GGCR()}
	program, err := exec.LookPath(debianProgram)
	if err != nil {
		return kinds, []string{debianName}
	}
	return append(kinds, Debian(program)), nil
}

// Start starts a registry that is empty. It runs until Close is called or ctx
// ends.
func (k Kind) Start(ctx context.Context) (*Server, error) {
	door := new(door)
	host, unserve, err := registrytest.Serve(door)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", k.Name, err)
	}
	r, err := k.in(ctx, host)
	if err != nil {
		unserve()
		return nil, fmt.Errorf("start %s: %w", k.Name, err)
	}
	s := &Server{Host: host, Log: new(traffic.Log), Tokens: r.tokens, stop: func() { unserve(); r.stop() }}
	door.open(r.tokens, s.Log.Handler(r.handler))
	return s, nil
}

// in starts a registry that will answer at host, in a directory of its own if it
// needs one.
func (k Kind) in(ctx context.Context, host string) (*started, error) {
	if !k.disk {
		return k.start(ctx, place{host: host})
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		return nil, err
	}
	r, err := k.start(ctx, place{host, dir})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := r.stop
	r.stop = func() {
		stop()
		_ = os.RemoveAll(dir) // the system clears it otherwise
	}
	return r, nil
}

// OnDisk returns the kind with its content on disk, if it can have it there. The
// storage of distribution in memory is not for large blobs: it copies all that
// came before with each piece that arrives.
func (k Kind) OnDisk() Kind {
	k.disk = k.disk || k.Distribution
	return k
}

// A door is where a registry will answer whose host has to be known before the
// registry is made.
type door struct{ handler atomic.Pointer[http.Handler] }

// open lets requests in: to tokens, if they are served here, and to h.
func (d *door) open(tokens *TokenServer, h http.Handler) {
	if tokens != nil {
		mux := http.NewServeMux()
		mux.Handle(tokenPath, tokens.Log.Handler(tokens))
		mux.Handle("/v2/", h)
		h = mux
	}
	d.handler.Store(&h)
}

// ServeHTTP answers by the handler that was let in.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := d.handler.Load()
	if h == nil {
		http.Error(w, "not open yet", http.StatusServiceUnavailable)
		return
	}
	(*h).ServeHTTP(w, r)
}

// Close ends the registry, and waits for it.
func (s *Server) Close() { s.stop() }

// Keychain returns credentials of a user: none where the registry has no token
// server.
func (s *Server) Keychain(user string) authn.Keychain {
	if s.Tokens == nil {
		return Anonymous()
	}
	return keychain{&authn.Basic{Username: user, Password: Password}}
}

// Anonymous returns the credentials of nobody.
func Anonymous() authn.Keychain { return keychain{authn.Anonymous} }

// Reset forgets the requests so far, those to the token server too.
func (s *Server) Reset() {
	s.Log.Reset()
	if s.Tokens != nil {
		s.Tokens.Log.Reset()
	}
}

// keychain gives the same credentials to every registry.
type keychain struct{ authn.Authenticator }

// Resolve returns the credentials.
func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

// handler makes a start function of a handler that needs no end.
func handler(h func() http.Handler) func(context.Context, place) (*started, error) {
	return func(context.Context, place) (*started, error) {
		return &started{handler: h(), stop: func() {}}, nil
	}
}

// Cue is the registry in memory of cuelabs.dev/go/oci/ociregistry.
func Cue() Kind {
	return Kind{Name: "cue", Mounts: true, Resumes: true, start: handler(func() http.Handler {
		return ociserver.New(ocimem.New(), nil)
	})}
}

// GGCR is the registry in memory of go-containerregistry. It mounts nothing, has
// one set of blobs for all repositories, and does not tell where a session stands.
func GGCR() Kind {
	return Kind{Name: "ggcr", start: handler(func() http.Handler {
		return registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	})}
}

// OLAReg is olareg with storage in memory.
func OLAReg() Kind {
	return Kind{Name: "olareg", Mounts: true, Resumes: true, start: func(context.Context, place) (*started, error) {
		yes := true
		s := olareg.New(config.Config{
			Storage: config.ConfigStorage{StoreType: config.StoreMem},
			API:     config.ConfigAPI{DeleteEnabled: &yes, Blob: config.ConfigAPIBlob{DeleteEnabled: &yes}},
		})
		return &started{handler: s, stop: func() { _ = s.Close() }}, nil // it has nothing to lose
	}}
}

// Test is the test registry of this project, with the manners of b.
func Test(name string, b registrytest.Behaviour) Kind {
	return Kind{Name: name, Mounts: true, start: handler(func() http.Handler { return registrytest.New(b) })}
}
