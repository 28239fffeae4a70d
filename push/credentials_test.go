package push_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// byRepository gives each repository a credential of its own.
type byRepository map[string]authn.AuthConfig

func (k byRepository) Resolve(r authn.Resource) (authn.Authenticator, error) {
	_, repository, _ := strings.Cut(r.String(), "/")
	if c, ok := k[repository]; ok {
		return authn.FromConfig(c), nil
	}
	return authn.Anonymous, nil
}

// TestTwoAccounts pushes with two accounts on one registry: a source is read
// with the credential of the target, never with its own.
func TestTwoAccounts(t *testing.T) {
	users := map[string]registrytest.TokenUser{
		"alice": {Password: "wonder", Access: []string{"alice/*:pull,push"}},
		"bob":   {Password: "builder", Access: []string{"bob/*:pull,push", "alice/shared:pull"}},
	}
	keys := push.WithKeychain(byRepository{
		"alice/base": {Username: "alice", Password: "wonder"}, "alice/shared": {Username: "alice", Password: "wonder"},
		"bob/app": {Username: "bob", Password: "builder"},
	})
	for source, mounted := range map[string]bool{"alice/shared": true, "alice/base": false} {
		t.Run(source, func(t *testing.T) {
			a := startAuthorized(t, registrytest.Behaviour{}, registrytest.TokenBehaviour{Users: users})
			base := layer("base", 50<<10)
			p := pusher(t, keys, push.WithConcurrency(1))
			if _, err := p.Push(context.Background(), image(t, "base", base), ref(t, a.Host, source+":v1")); err != nil {
				t.Fatal(err)
			}
			a.tokens.ResetLog()
			a.Registry.ResetLog()
			report, err := p.Push(context.Background(), image(t, "app", base), ref(t, a.Host, "bob/app:v1"))
			if err != nil {
				t.Fatalf("%v\n%s", err, a.lines())
			}
			if got := report.Blobs[0].From == source; got != mounted {
				t.Errorf("mounted from %s: %v, want %v\n%s\n%s", source, got, mounted, a.lines(), report)
			}
			for _, l := range a.tokens.Lines() {
				if strings.Contains(l, "alice ") {
					t.Errorf("a token for alice: %s", l)
				}
			}
			for _, l := range a.Registry.Lines() {
				if !mounted && strings.Contains(l, "from="+source) {
					t.Errorf("a request that must fail: %s", l)
				}
			}
		})
	}
}

// TestBasic pushes with Basic credentials: one 401, and no token.
func TestBasic(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{Auth: &registrytest.Auth{Users: map[string]string{"alice": "wonder"}}})
	_, err := pusher(t, alice(), push.WithConcurrency(1)).Push(context.Background(), image(t, "app", layer("l", 1<<10)), ref(t, srv.Host, "app:v1"))
	if err != nil {
		t.Fatal(err)
	}
	if n := srv.Registry.Count().Requests; n > 7 {
		t.Errorf("%d requests\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
}
