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
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the storage on disk
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"   // the storage in memory
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

// stored completes common: the content is in dir, or in memory if that is "".
func stored(dir string) string {
	storage := "  inmemory: {}\n"
	if dir != "" {
		storage = fmt.Sprintf("  filesystem:\n    rootdirectory: %s\n", filepath.Join(dir, "data"))
	}
	return common + storage + "http:\n  addr: 127.0.0.1:0\n  secret: e2e\n"
}

// Distribution is CNCF distribution, version 3.
func Distribution() Kind {
	return Kind{Name: "distribution", Mounts: true, Distribution: true, Resumes: true, start: func(ctx context.Context, p place) (*started, error) {
		return distribution(ctx, stored(p.dir))
	}}
}

// DistributionWithTokens is distribution with a token server, which has the
// host and port of the registry, or elsewhere a port of its own.
func DistributionWithTokens(users map[string]User, elsewhere bool) Kind {
	return Kind{Name: "distribution+tokens", Mounts: true, Distribution: true, Resumes: true, start: func(ctx context.Context, p place) (*started, error) {
		tokens, err := NewTokenServer(users)
		if err != nil {
			return nil, err
		}
		tokens.Realm = "http://" + p.host + tokenPath
		if elsewhere {
			if err := tokens.serve(); err != nil {
				return nil, err
			}
		}
		s, err := withTokens(ctx, tokens, p.dir)
		if err != nil {
			tokens.stop()
		}
		return s, err
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

// withTokens makes a registry that sends its clients to a token server, which
// ends with it.
func withTokens(ctx context.Context, tokens *TokenServer, dir string) (*started, error) {
	secrets, err := os.MkdirTemp("", "e2e")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(secrets) }() // the registry has read it; the system clears it otherwise
	keys := filepath.Join(secrets, "jwks.json")
	if err := os.WriteFile(keys, tokens.Keys(), 0o600); err != nil {
		return nil, err
	}
	auth := fmt.Sprintf("auth:\n  token:\n    realm: %s\n    service: %s\n    issuer: %s\n    jwks: %s\n",
		tokens.Realm, service, issuer, keys)
	s, err := distribution(ctx, stored(dir)+auth)
	if err != nil {
		return nil, err
	}
	shut := s.stop
	s.tokens, s.stop = tokens, func() { shut(); tokens.stop() }
	return s, nil
}
