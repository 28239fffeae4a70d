package auth_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

const (
	registryHost = "registry.test"
	tokenHost    = "tokens.test"
	realm        = "http://" + tokenHost + "/token"
	password     = "correct-horse-battery"
	digestA      = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// world is a registry with a token server in memory, and a host that knows neither yet.
type world struct {
	registry *registrytest.Registry
	tokens   *registrytest.TokenServer
	network  registrytest.Network
	host     *auth.Host
	logged   *bytes.Buffer
}

// alice may push to app and new, and read base.
func alice() map[string]registrytest.TokenUser {
	return map[string]registrytest.TokenUser{"alice": {
		Password:      password,
		IdentityToken: "identity-" + password,
		Access:        []string{"app:pull,push", "new:pull,push", "base:pull", "read:pull", "many/*:pull"},
	}}
}

func newWorld(t *testing.T, b registrytest.TokenBehaviour) *world {
	t.Helper()
	w := &world{tokens: registrytest.NewTokenServer(b), logged: &bytes.Buffer{}}
	w.registry = registrytest.New(registrytest.Behaviour{Auth: w.tokens.Auth(realm)})
	w.network = registrytest.Network{registryHost: w.registry, tokenHost: w.tokens}
	w.host = auth.New(w.config(t))
	return w
}

func (w *world) config(t testing.TB) auth.Config {
	return auth.Config{
		Registry:  registry(t),
		Keychain:  keychain(authn.AuthConfig{Username: "alice", Password: password}),
		Transport: w.network,
		UserAgent: "crossmount-test/1",
		Logger:    slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func registry(t testing.TB) name.Registry {
	r, err := name.NewRegistry(registryHost, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keychain gives the same credential for everything.
type keychain authn.AuthConfig

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig(k)), nil
}

// push is the need of an upload to repository with wishes.
func push(t testing.TB, repository string, wishes ...string) auth.Need {
	n := auth.Need{Target: registry(t).Repo(repository), Must: auth.Push(repository)}
	for _, wish := range wishes {
		n.Wish = n.Wish.Union(auth.Pull(wish))
	}
	return n
}

// from is n for a mount from source.
func from(n auth.Need, source string) auth.Need {
	n.Must = n.Must.Union(auth.Pull(source))
	return n
}

// answer is what came of one request.
type answer struct {
	status int
	sent   int // times that the request went out
	err    error
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("sent %d, error %v", a.sent, a.err)
	}
	return fmt.Sprintf("sent %d, status %d", a.sent, a.status)
}

// send makes a request as a client does, but repeats it as often as it is told to.
func (w *world) send(ctx context.Context, r wire.Request, need auth.Need) answer {
	var a answer
	for a.sent < 10 {
		u := "http://" + registryHost
		req, err := http.NewRequestWithContext(ctx, r.Method(), u, nil)
		if err != nil {
			return answer{err: err}
		}
		req.URL = r.URL(req.URL)
		if a.err = w.host.Authorize(ctx, req, need); a.err != nil {
			return a
		}
		resp, err := w.network.RoundTrip(req)
		if err != nil {
			a.err = err
			return a
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		a.sent++
		a.status = resp.StatusCode
		if resp.StatusCode != http.StatusUnauthorized {
			return a
		}
		again, err := w.host.Challenged(ctx, resp, need)
		if err != nil || !again {
			a.err = err
			return a
		}
	}
	return a
}

func (w *world) upload(t *testing.T, need auth.Need) answer {
	t.Helper()
	return w.send(t.Context(), wire.Request{Kind: wire.UploadStart, Repository: need.Target.RepositoryStr()}, need)
}

func (w *world) mount(t *testing.T, need auth.Need, source string) answer {
	t.Helper()
	r := wire.Request{Kind: wire.Mount, Repository: need.Target.RepositoryStr(), Digest: digestA, From: source}
	return w.send(t.Context(), r, from(need, source))
}

// wantTokens checks the log of the token server since the last call.
func (w *world) wantTokens(t *testing.T, want ...string) {
	t.Helper()
	if got := w.tokens.Lines(); !slices.Equal(got, want) {
		t.Errorf("token requests:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	w.tokens.ResetLog()
}

func wantAnswer(t *testing.T, what string, a answer, sent, status int) {
	t.Helper()
	if a.err != nil || a.sent != sent || a.status != status {
		t.Errorf("%s: %v; want sent %d, status %d", what, a, sent, status)
	}
}

func mustRepository(t testing.TB, text string) name.Repository {
	r, err := name.NewRepository(text, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
