// Package registries starts real registries on loopback, each behind a log of
// what reaches it.
package registries

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/exec"

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
	// Shares says that a repository seems to hold all blobs of the registry.
	Shares bool
	// Distribution says that it is CNCF distribution, for which the bounds are.
	Distribution bool

	start func(context.Context) (*started, error)
}

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
	kinds = []Kind{Distribution(), DistributionWithTokens(Everybody()), OLAReg(), Cue(), GGCR()}
	program, err := exec.LookPath(debianProgram)
	if err != nil {
		return kinds, []string{debianName}
	}
	return append(kinds, Debian(program)), nil
}

// Start starts a registry that is empty. It runs until Close is called or ctx
// ends.
func (k Kind) Start(ctx context.Context) (*Server, error) {
	r, err := k.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", k.Name, err)
	}
	s := &Server{Log: new(traffic.Log), Tokens: r.tokens}
	host, unserve, err := registrytest.Serve(s.Log.Handler(r.handler))
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("start %s: %w", k.Name, err)
	}
	s.Host = host
	s.stop = func() { unserve(); r.stop() }
	return s, nil
}

// Close ends the registry, and waits for it.
func (s *Server) Close() { s.stop() }

// Keychain returns credentials of a user: none where the registry has no token
// server.
func (s *Server) Keychain(user string) authn.Keychain {
	if s.Tokens == nil {
		return keychain{authn.Anonymous}
	}
	return keychain{&authn.Basic{Username: user, Password: Password}}
}

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
func handler(h func() http.Handler) func(context.Context) (*started, error) {
	return func(context.Context) (*started, error) {
		return &started{handler: h(), stop: func() {}}, nil
	}
}

// Cue is the registry in memory of cuelabs.dev/go/oci/ociregistry.
func Cue() Kind {
	return Kind{Name: "cue", Mounts: true, start: handler(func() http.Handler {
		return ociserver.New(ocimem.New(), nil)
	})}
}

// GGCR is the registry in memory of go-containerregistry. It mounts nothing, and
// has one set of blobs for all repositories.
func GGCR() Kind {
	return Kind{Name: "ggcr", Shares: true, start: handler(func() http.Handler {
		return registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	})}
}

// OLAReg is olareg with storage in memory.
func OLAReg() Kind {
	return Kind{Name: "olareg", Mounts: true, start: func(context.Context) (*started, error) {
		yes := true
		s := olareg.New(config.Config{
			Storage: config.ConfigStorage{StoreType: config.StoreMem},
			API:     config.ConfigAPI{DeleteEnabled: &yes, Blob: config.ConfigAPIBlob{DeleteEnabled: &yes}},
		})
		return &started{handler: s, stop: func() { _ = s.Close() }}, nil // it has nothing to lose
	}}
}
