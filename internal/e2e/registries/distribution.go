package registries

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/token" // the authorization by tokens
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the storage in memory
	"github.com/sirupsen/logrus"
)

// common is the configuration of every distribution.
const common = `
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
`

// inMemory completes common for version 3.
const inMemory = common + `
  inmemory: {}
http:
  addr: 127.0.0.1:0
  secret: e2e
`

// Distribution is CNCF distribution, version 3, with storage in memory.
func Distribution() Kind {
	return Kind{Name: "distribution", Mounts: true, Distribution: true, start: func(ctx context.Context) (*started, error) {
		return distribution(ctx, inMemory)
	}}
}

// DistributionWithTokens is distribution with a token server.
func DistributionWithTokens(users map[string]User) Kind {
	return Kind{Name: "distribution+tokens", Mounts: true, Distribution: true, start: func(ctx context.Context) (*started, error) {
		return withTokens(ctx, users)
	}}
}

// distribution makes a registry of a configuration.
func distribution(ctx context.Context, text string) (*started, error) {
	c, err := configuration.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	// It logs through the one logger of the process, whatever its configuration
	// says before it is applied.
	logrus.SetOutput(io.Discard)
	app := handlers.NewApp(ctx, c)
	return &started{handler: app, stop: func() { _ = app.Shutdown() }}, nil // nothing in memory is lost
}

// withTokens makes a registry and its token server.
func withTokens(ctx context.Context, users map[string]User) (*started, error) {
	tokens, err := StartTokenServer(users)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		tokens.Close()
		return nil, err
	}
	stop := func() {
		tokens.Close()
		_ = os.RemoveAll(dir) // the system clears it otherwise
	}
	keys := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(keys, tokens.Keys(), 0o600); err != nil {
		stop()
		return nil, err
	}
	auth := fmt.Sprintf("auth:\n  token:\n    realm: %s\n    service: %s\n    issuer: %s\n    jwks: %s\n",
		tokens.Realm, service, issuer, keys)
	s, err := distribution(ctx, inMemory+auth)
	if err != nil {
		stop()
		return nil, err
	}
	shut := s.stop
	s.tokens, s.stop = tokens, func() { shut(); stop() }
	return s, nil
}
