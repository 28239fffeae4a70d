package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// rotating gives one credential after the other, the last one for ever, and counts how often it is asked.
type rotating struct {
	configs []authn.AuthConfig
	asked   atomic.Int32
	names   sync.Map
	err     error // from the time on when it has been asked more than once for each of configs
}

func (r *rotating) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	n := int(r.asked.Add(1))
	r.names.Store(resource.String(), true)
	if r.err != nil && n > len(r.configs) {
		return nil, r.err
	}
	return authn.FromConfig(r.configs[min(n, len(r.configs))-1]), nil
}

func (w *world) use(t *testing.T, k authn.Keychain) {
	config := w.config(t)
	config.Keychain = k
	w.host = auth.New(config)
}

func basicWorld(t *testing.T) *world {
	w := newWorld(t, registrytest.TokenBehaviour{})
	w.registry.SetBehaviour(func(b *registrytest.Behaviour) {
		b.Auth = &registrytest.Auth{Users: map[string]string{"alice": password}}
	})
	return w
}

func TestBasic(t *testing.T) {
	good := authn.AuthConfig{Username: "alice", Password: password}
	tests := []struct {
		name         string
		configs      []authn.AuthConfig
		sent, status int
	}{
		{"password", []authn.AuthConfig{good}, 2, 202},
		{"auth field", []authn.AuthConfig{{Auth: base64.StdEncoding.EncodeToString([]byte("alice:" + password))}}, 2, 202},
		{"anonymous", []authn.AuthConfig{{}}, 1, 401},
		{"wrong", []authn.AuthConfig{{Username: "alice", Password: "wrong"}}, 2, 401},
		{"newer one", []authn.AuthConfig{{Username: "alice", Password: "old"}, good}, 3, 202},
		{"always another", []authn.AuthConfig{{Username: "a", Password: "1"}, {Username: "a", Password: "2"}, {Username: "a", Password: "3"}, good}, 3, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := basicWorld(t)
			w.use(t, &rotating{configs: tt.configs})
			wantAnswer(t, "upload", w.upload(t, push(t, "app", "base")), tt.sent, tt.status)
			if tt.status == 202 {
				wantAnswer(t, "upload", w.upload(t, push(t, "app", "base")), 1, 202)
			}
			w.wantTokens(t)
			if _, known := w.host.Readable(registry(t).Repo("app"), "base"); known {
				t.Error("something is known of a source")
			}
		})
	}
}

// The keychain is asked once for each target, with its full name, also by many at once.
func TestKeychainIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := basicWorld(t)
		k := &rotating{configs: []authn.AuthConfig{{Username: "alice", Password: password}}}
		w.use(t, k)
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() { w.upload(t, push(t, "app")) })
			group.Go(func() { w.upload(t, push(t, "team/new")) })
		}
		group.Wait()
		if n := k.asked.Load(); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
		for _, name := range []string{registryHost + "/app", registryHost + "/team/new"} {
			if _, ok := k.names.Load(name); !ok {
				t.Errorf("not asked for %s", name)
			}
		}
	})
}

// Of many requests that are refused with the same password, one looks for another.
func TestManyRefusedPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := basicWorld(t)
		w.registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Latency = time.Second })
		k := &rotating{configs: []authn.AuthConfig{{Username: "alice", Password: "old"}, {Username: "alice", Password: password}}}
		w.use(t, k)
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() { wantAnswer(t, "upload", w.upload(t, push(t, "app")), 3, 202) })
		}
		group.Wait()
		if n := k.asked.Load(); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
	})
}

func TestKeychainFails(t *testing.T) {
	w := basicWorld(t)
	broken := errors.New("helper not found")
	w.use(t, &rotating{err: broken})
	a := w.upload(t, push(t, "app"))
	var e *auth.Error
	if !errors.Is(a.err, broken) || !errors.As(a.err, &e) || e.Op != "credential" {
		t.Errorf("%v", a)
	}
	wrong := &rotating{configs: []authn.AuthConfig{{Username: "alice", Password: "wrong"}}, err: broken}
	w.use(t, wrong)
	if a := w.upload(t, push(t, "app")); !errors.Is(a.err, broken) {
		t.Errorf("under Basic, the second time: %v", a)
	}
	tokens := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
	tokens.use(t, &rotating{configs: wrong.configs, err: broken})
	if a := tokens.upload(t, push(t, "app")); !errors.Is(a.err, broken) || a.sent != 1 {
		t.Errorf("for a token, the second time: %v", a)
	}
	w.use(t, failing{broken})
	if a := w.upload(t, push(t, "app")); !errors.Is(a.err, broken) {
		t.Errorf("%v", a)
	}
}

// failing resolves to an authenticator that fails.
type failing struct{ err error }

func (f failing) Resolve(authn.Resource) (authn.Authenticator, error) { return f, nil }

func (f failing) Authorization() (*authn.AuthConfig, error) { return nil, f.err }

// A password that runs out while a push is under way is looked up anew when the next token is due.
func TestPasswordRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := map[string]registrytest.TokenUser{"alice": {Password: "first", Access: []string{"app:pull,push"}}}
		w := newWorld(t, registrytest.TokenBehaviour{Users: users})
		w.use(t, &rotating{configs: []authn.AuthConfig{{Username: "alice", Password: "first"}, {Username: "alice", Password: "second"}}})
		wantAnswer(t, "upload", w.upload(t, push(t, "app")), 2, 202)
		w.tokens.SetBehaviour(func(b *registrytest.TokenBehaviour) {
			b.Users = map[string]registrytest.TokenUser{"alice": {Password: "second", Access: []string{"app:pull,push"}}}
		})
		time.Sleep(5 * time.Minute)
		wantAnswer(t, "upload", w.upload(t, push(t, "app")), 1, 202)
		w.wantTokens(t, "GET token alice app:pull,push 200", "GET token - app:pull,push 401", "GET token alice app:pull,push 200")
	})
}

// Tokens belong to the credential that they were got with.
func TestCredentialsAreKeptApart(t *testing.T) {
	users := alice()
	users["bob"] = registrytest.TokenUser{Password: "bob", Access: []string{"new:pull,push", "base:pull"}}
	w := newWorld(t, registrytest.TokenBehaviour{Users: users})
	w.use(t, byName{registryHost + "/app": {Username: "alice", Password: password}, registryHost + "/new": {Username: "bob", Password: "bob"}})
	wantAnswer(t, "upload", w.upload(t, push(t, "app", "new", "read")), 2, 202)
	wantAnswer(t, "upload", w.upload(t, push(t, "new", "base", "read")), 1, 202)
	w.wantTokens(t, "GET token alice app:pull,push new:pull read:pull 200", "GET token bob new:pull,push base:pull read:pull 200")
	for target, want := range map[string]bool{"app": true, "new": false} {
		if readable, known := w.host.Readable(registry(t).Repo(target), "read"); readable != want || !known {
			t.Errorf("%s: read is readable %v, known %v", target, readable, known)
		}
	}
}

// byName gives credentials by the full name of the target.
type byName map[string]authn.AuthConfig

func (k byName) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(k[resource.String()]), nil
}

// ResolveContext shows that the context arrives.
func (k byName) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return k.Resolve(resource)
}

func TestRegistryToken(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	w.registry.SetBehaviour(func(b *registrytest.Behaviour) {
		b.Auth.Verify = func(token string) ([]string, bool) {
			return []string{"repository:app:pull,push"}, token == "ready-made"
		}
	})
	w.use(t, keychain(authn.AuthConfig{RegistryToken: "ready-made"}))
	wantAnswer(t, "upload", w.upload(t, push(t, "app", "base")), 2, 202)
	w.use(t, keychain(authn.AuthConfig{RegistryToken: "stale"}))
	wantAnswer(t, "upload", w.upload(t, push(t, "app", "base")), 2, 401)
	w.wantTokens(t)
}

func TestIdentityToken(t *testing.T) {
	config := authn.AuthConfig{Username: "<token>", IdentityToken: "identity-" + password}
	t.Run("OAuth2", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
		w.use(t, keychain(config))
		wantAnswer(t, "upload", w.upload(t, push(t, "app", "base")), 2, 202)
		wantAnswer(t, "mount", w.mount(t, push(t, "app"), "base"), 1, 202)
		entry := w.tokens.Log()[0]
		w.wantTokens(t, "POST token alice app:pull,push base:pull 200")
		if entry.Header.Get("Authorization") != "" || entry.Service != registrytest.TokenService || entry.UserAgent != "crossmount-test/1" {
			t.Errorf("%+v", entry)
		}
	})
	for _, status := range []int{404, 405} {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), NoOAuth2: status, Anonymous: []string{"app:pull,push"}})
		w.use(t, keychain(config))
		wantAnswer(t, "upload", w.upload(t, push(t, "app")), 2, 202)
		w.wantTokens(t, "POST token - app:pull,push "+map[int]string{404: "404", 405: "405"}[status], "GET token - app:pull,push 200")
	}
}

// challenger answers 401 with challenges until it sees a header that is good.
func challenger(good func(header string) bool, challenges func(header string) []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Authorization")
		if good(header) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		for _, c := range challenges(header) {
			w.Header().Add("WWW-Authenticate", c)
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
}

func TestSchemes(t *testing.T) {
	const bearer = `Bearer realm="` + realm + `",service="registrytest"`
	isBearer := func(h string) bool { return len(h) > 7 && h[:7] == "Bearer " }
	isBasic := func(h string) bool { return len(h) > 6 && h[:6] == "Basic " }
	always := func(challenges ...string) func(string) []string { return func(string) []string { return challenges } }
	tests := []struct {
		name         string
		good         func(string) bool
		challenges   func(string) []string
		sent, status int
		tokens       int
	}{
		{"Bearer goes before Basic", isBearer, always(`Basic realm="harbor"`, bearer), 2, 202, 1},
		{"Bearer without a realm is none", isBasic, always(`Bearer service="x"`, `Basic realm="x"`), 2, 202, 0},
		{"schemes in any case", isBearer, always(`BEARER Realm="` + realm + `"`), 2, 202, 1},
		{"unknown scheme", isBasic, always(`Negotiate`), 1, 401, 0},
		{"no challenge", isBasic, always(), 1, 401, 0},
		{"Basic for whoever has a token, as Harbor does", func(string) bool { return false }, func(h string) []string {
			if isBearer(h) {
				return []string{`Basic realm="harbor"`}
			}
			return []string{bearer}
		}, 3, 401, 2},
		{"Bearer for whoever comes with a password", isBearer, func(h string) []string {
			if isBasic(h) {
				return []string{bearer}
			}
			return []string{`Basic realm="x"`}
		}, 3, 202, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{})
			w.network[registryHost] = challenger(tt.good, tt.challenges)
			wantAnswer(t, "upload", w.send(t.Context(), wire.Request{Kind: wire.UploadStart, Repository: "app"}, push(t, "app")), tt.sent, tt.status)
			if n := w.tokens.Count(); n != tt.tokens {
				t.Errorf("%d token requests, want %d", n, tt.tokens)
			}
		})
	}
}
