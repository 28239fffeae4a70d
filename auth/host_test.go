package auth_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

func TestNoChallengeNoToken(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	w.registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth = nil })
	wantAnswer(t, "upload", w.upload(t, push(t, "app", "base")), 1, 202)
	w.wantTokens(t)
	if v := w.registry.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// One bare request and one token serve all that was wished for.
func TestOneTokenServesAll(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
	need := push(t, "app", "read", "base")
	wantAnswer(t, "upload", w.upload(t, need), 2, 202)
	wantAnswer(t, "mount", w.mount(t, need, "base"), 1, 202)
	wantAnswer(t, "mount", w.mount(t, need, "read"), 1, 202)
	pull := auth.Need{Target: need.Target, Must: auth.Pull("app"), Wish: auth.Pull("elsewhere")}
	wantAnswer(t, "head", w.send(t.Context(), wire.Request{Kind: wire.BlobHead, Repository: "app", Digest: digestA}, pull), 1, 404)
	entry := w.tokens.Log()[0]
	w.wantTokens(t, "GET token alice app:pull,push base:pull read:pull 200")
	if entry.Service != registrytest.TokenService || entry.UserAgent != "crossmount-test/1" {
		t.Errorf("service %q, user agent %q", entry.Service, entry.UserAgent)
	}
	for source, want := range map[string][2]bool{"base": {true, true}, "read": {true, true}, "elsewhere": {false, false}} {
		if readable, known := w.host.Readable(need.Target, source); readable != want[0] || known != want[1] {
			t.Errorf("%s: readable %v, known %v", source, readable, known)
		}
	}
	if _, known := w.host.Readable(registry(t).Repo("other"), "base"); known {
		t.Error("something is known for a target that was never used")
	}
}

// A mount as the first request: the target still comes first, whatever the order of names.
func TestTargetComesFirst(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	need := auth.Need{Target: registry(t).Repo("zoo"), Must: auth.Pull("app").Union(auth.Push("zoo")), Wish: auth.Push("zoo")}
	wantAnswer(t, "mount", w.mount(t, need, "app"), 2, 202)
	w.wantTokens(t, "GET token alice zoo:pull,push app:pull 200")
}

// What a token server refuses, or leaves out, must cost no more than the mounts from there.
func TestTokenServerManners(t *testing.T) {
	const (
		all   = "GET token alice app:pull,push base:pull secret:pull "
		alone = "GET token alice app:pull,push 200"
	)
	unknown, yes, no := [2]bool{}, [2]bool{true, true}, [2]bool{false, true}
	tests := []struct {
		name      string
		behaviour registrytest.TokenBehaviour
		uploads   int      // times that the first upload is sent
		tokens    []string // of the first upload
		base      [2]bool
		secret    [2]bool
		mounts    map[string]string // answer to a mount then
		later     []string          // tokens of the mounts and of an upload after them
	}{
		{"narrows", registrytest.TokenBehaviour{}, 2, []string{all + "200"}, yes, no,
			map[string]string{"base": "202", "secret": "refused"}, nil},
		{"400", registrytest.TokenBehaviour{RefuseForeign: 400}, 2, []string{all + "400", alone}, no, no,
			map[string]string{"base": "refused", "secret": "refused"}, nil},
		{"401", registrytest.TokenBehaviour{RefuseForeign: 401}, 2, []string{all + "401", alone}, no, no,
			map[string]string{"base": "refused", "secret": "refused"}, nil},
		{"403", registrytest.TokenBehaviour{RefuseForeign: 403}, 2, []string{all + "403", alone}, no, no,
			map[string]string{"base": "refused", "secret": "refused"}, nil},
		{"repeated parameters", registrytest.TokenBehaviour{RefuseRepeated: true}, 2, []string{all + "400", alone}, no, no,
			map[string]string{"base": "refused"}, nil},
		{"first scope only", registrytest.TokenBehaviour{FirstOnly: true}, 2, []string{all + "200"}, no, no,
			map[string]string{"base": "refused"}, nil},
		{"last scope only", registrytest.TokenBehaviour{LastOnly: true}, 2, []string{all + "200", alone}, no, no,
			map[string]string{"base": "refused"}, nil},
		{"opaque", registrytest.TokenBehaviour{Opaque: true}, 2, []string{all + "200"}, unknown, unknown,
			map[string]string{"base": "202", "secret": "401"}, nil},
		{"opaque, 403", registrytest.TokenBehaviour{Opaque: true, RefuseForeign: 403}, 2, []string{all + "403", alone}, no, no,
			map[string]string{"base": "refused"}, nil},
		{"opaque, first scope only", registrytest.TokenBehaviour{Opaque: true, FirstOnly: true}, 2, []string{all + "200"}, unknown, unknown,
			map[string]string{"base": "401"}, nil},
		{"opaque, last scope only", registrytest.TokenBehaviour{Opaque: true, LastOnly: true}, 3, []string{all + "200", alone}, no, no,
			map[string]string{"base": "refused"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.behaviour.Users = alice()
			w := newWorld(t, tt.behaviour)
			need := push(t, "app", "secret", "base")
			wantAnswer(t, "upload", w.upload(t, need), tt.uploads, 202)
			w.wantTokens(t, tt.tokens...)
			for source, want := range map[string][2]bool{"base": tt.base, "secret": tt.secret} {
				if readable, known := w.host.Readable(need.Target, source); readable != want[0] || known != want[1] {
					t.Errorf("%s: readable %v, known %v; want %v", source, readable, known, want)
				}
			}
			for source, want := range tt.mounts {
				a := w.mount(t, need, source)
				switch want {
				case "refused":
					wantRefused(t, w, need, source, a)
				case "401":
					wantAnswer(t, "mount of "+source, a, 1, 401)
					wantRefused(t, w, need, source, w.mount(t, need, source))
				default:
					wantAnswer(t, "mount of "+source, a, 1, 202)
				}
			}
			wantAnswer(t, "upload after all", w.upload(t, need), 1, 202)
			w.wantTokens(t, tt.later...)
		})
	}
}

// wantRefused checks that the mount was not sent, and that the source is known as not readable.
func wantRefused(t *testing.T, w *world, need auth.Need, source string, a answer) {
	t.Helper()
	var e *auth.Error
	if !errors.Is(a.err, auth.ErrSourceRefused) || !errors.As(a.err, &e) || a.sent != 0 {
		t.Errorf("mount of %s: %v; want ErrSourceRefused", source, a)
	} else if e.Scope != "repository:"+source+":pull" || e.Host != registryHost || e.Realm != tokenHost {
		t.Errorf("mount of %s: %+v", source, e)
	}
	if readable, known := w.host.Readable(need.Target, source); readable || !known {
		t.Errorf("%s: readable %v, known %v after its refusal", source, readable, known)
	}
}

// The source of a mount is refused when the mount is the first thing asked for.
func TestMountFirst(t *testing.T) {
	for status, behaviour := range map[int]registrytest.TokenBehaviour{
		200: {Users: alice()}, 403: {Users: alice(), RefuseForeign: 403},
	} {
		w := newWorld(t, behaviour)
		need := push(t, "app")
		a := w.mount(t, need, "secret")
		if !errors.Is(a.err, auth.ErrSourceRefused) || a.sent != 1 {
			t.Errorf("%d: %v", status, a)
		}
		wantAnswer(t, "upload", w.upload(t, need), 1, 202)
		if status == 200 {
			w.wantTokens(t, "GET token alice app:pull,push secret:pull 200")
		} else {
			w.wantTokens(t, "GET token alice app:pull,push secret:pull 403", "GET token alice app:pull,push 200")
		}
	}
}

func TestImpossibleName(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{RefuseImpossible: true})
	wantAnswer(t, "upload", w.upload(t, push(t, "app", "a/b/c")), 2, 202)
	w.wantTokens(t, "GET token alice app:pull,push a/b/c:pull 400", "GET token alice app:pull,push 200")
}

// A wish to push is given up before the need to pull.
func TestWishToPushRefused(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), RefuseForeign: 403})
	need := auth.Need{Target: registry(t).Repo("read"), Must: auth.Pull("read"), Wish: auth.Push("read").Union(auth.Pull("base"))}
	a := w.send(t.Context(), wire.Request{Kind: wire.BlobHead, Repository: "read", Digest: digestA}, need)
	wantAnswer(t, "head", a, 2, 404)
	w.wantTokens(t, "GET token alice read:pull,push base:pull 403", "GET token alice read:pull,push 403", "GET token alice read:pull 200")
	if _, known := w.host.Readable(need.Target, "base"); known {
		t.Error("base counts as refused, though the wish to push was")
	}
}

func TestNoRight(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		for status, want := range map[int]error{401: auth.ErrUnauthorized, 403: auth.ErrDenied, 400: nil} {
			w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), RefuseForeign: status})
			a := w.upload(t, push(t, "secret"))
			var e *auth.Error
			if !errors.As(a.err, &e) || e.Status != status || e.Op != "token" || e.Temporary() ||
				e.Scope != "repository:secret:pull,push" || !slices.Equal(e.Codes, []string{"DENIED"}) || a.sent != 1 {
				t.Errorf("%d: %v, %+v", status, a, e)
			}
			for _, sentinel := range []error{auth.ErrUnauthorized, auth.ErrDenied} {
				if errors.Is(a.err, sentinel) != (sentinel == want) {
					t.Errorf("%d: matches %v: %v", status, sentinel, errors.Is(a.err, sentinel))
				}
			}
		}
	})
	t.Run("narrowed", func(t *testing.T) {
		for _, opaque := range []bool{false, true} {
			w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), Opaque: opaque})
			wantAnswer(t, "upload", w.upload(t, push(t, "read")), 2, 401)
			wantAnswer(t, "upload", w.upload(t, push(t, "read")), 1, 401)
			w.wantTokens(t, "GET token alice read:pull,push 200")
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		users := alice()
		users["alice"] = registrytest.TokenUser{Password: "another"}
		w := newWorld(t, registrytest.TokenBehaviour{Users: users})
		a := w.upload(t, push(t, "app", "base"))
		if !errors.Is(a.err, auth.ErrUnauthorized) || a.sent != 1 {
			t.Errorf("%v; want ErrUnauthorized", a)
		}
		if _, known := w.host.Readable(registry(t).Repo("app"), "base"); known {
			t.Error("base counts as refused, though the password was")
		}
	})
}

// A challenge of a mount neither widens nor narrows what is asked for next, in whatever order it lists scopes.
func TestChallengeScopeIsNotUsed(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), RefuseForeign: 403})
	need := push(t, "app")
	for range 3 {
		if a := w.mount(t, need, "secret"); !errors.Is(a.err, auth.ErrSourceRefused) {
			t.Fatalf("mount: %v", a)
		}
	}
	w.tokens.ResetLog()
	w.tokens.Revoke()
	wantAnswer(t, "upload", w.upload(t, need), 2, 202)
	wantAnswer(t, "upload", w.upload(t, push(t, "new")), 1, 202)
	w.wantTokens(t, "GET token alice app:pull,push 200", "GET token alice new:pull,push 200")
}

// Only a request that states no scope takes the challenge's.
func TestScopeOfChallenge(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
	target := registry(t).Repo("app")
	r := wire.Request{Kind: wire.Mount, Repository: "app", Digest: digestA, From: "base"}
	wantAnswer(t, "mount", w.send(t.Context(), r, auth.Need{Target: target}), 2, 202)
	wantAnswer(t, "ping", w.send(t.Context(), wire.Request{Kind: wire.Ping}, auth.Need{}), 1, 200)
	w.wantTokens(t, "GET token alice app:pull,push base:pull 200")

	w = newWorld(t, registrytest.TokenBehaviour{Users: alice()})
	stated := unauthorized(t, "http://"+registryHost+"/v2/", `Bearer realm="`+realm+`",scope="repository:app:pull"`)
	if again, err := w.host.Challenged(t.Context(), stated, push(t, "app")); !again || err != nil {
		t.Fatalf("again %v, %v", again, err)
	}
	wantAnswer(t, "ping", w.send(t.Context(), wire.Request{Kind: wire.Ping}, auth.Need{}), 1, 200)
	w.wantTokens(t, "GET token alice 200")
}

// A wish that was refused takes no place from the others.
func TestRefusedWishesMakeRoom(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
	need := push(t, "app")
	for i := range 19 {
		letter := string(rune('a' + i))
		need.Wish = need.Wish.Union(auth.Pull("deny/" + letter)).Union(auth.Pull("many/" + letter))
	}
	wantAnswer(t, "upload", w.upload(t, need), 2, 202)
	wantAnswer(t, "mount", w.mount(t, need, "many/s"), 1, 202)
	for i, prefix := range []string{"repository:deny/", "repository:many/"} {
		scopes := w.tokens.Log()[i].Scopes
		if len(scopes) != 20 || !strings.HasPrefix(scopes[1], prefix) || !strings.HasPrefix(scopes[19], prefix) {
			t.Errorf("request %d: %q", i, scopes)
		}
	}
}

// Harbor names no reason when a source is not readable.
func TestMountRefusedWithoutReason(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	w.network[registryHost] = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" || r.URL.Query().Get("from") == "secret" {
			rw.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		rw.WriteHeader(http.StatusAccepted)
	})
	need := push(t, "app", "base", "secret")
	wantAnswer(t, "upload", w.upload(t, need), 2, 202)
	wantAnswer(t, "mount", w.mount(t, need, "secret"), 1, 401)
	wantRefused(t, w, need, "secret", w.mount(t, need, "secret"))
	wantAnswer(t, "mount", w.mount(t, need, "base"), 1, 202)
	wantAnswer(t, "upload", w.upload(t, need), 1, 202)
	w.wantTokens(t, "GET token alice app:pull,push base:pull secret:pull 200")
}

// A push that is not permitted says nothing about its sources.
func TestNoRightToPushKeepsSources(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
	need := push(t, "read", "base")
	if a := w.upload(t, need); a.status != 401 || a.sent > 3 || a.err != nil {
		t.Errorf("%v", a)
	}
	if a := w.mount(t, need, "base"); a.status != 401 || a.sent != 1 || a.err != nil {
		t.Errorf("mount: %v", a)
	}
	if readable, known := w.host.Readable(need.Target, "base"); !readable || !known {
		t.Errorf("base: readable %v, known %v", readable, known)
	}
}

// The defaults, on a network, with a realm on another port of a loopback address.
func TestDefaults(t *testing.T) {
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{})
	server := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
	target := mustRepository(t, server.Host+"/app")
	host := auth.New(auth.Config{Registry: target.Registry})
	need := auth.Need{Target: target, Must: auth.Push("app"), Wish: auth.Pull("base")}
	for i, want := range []int{401, 202} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v2/app/blobs/uploads/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = nil
		if err := host.Authorize(t.Context(), req, need); err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		again, err := host.Challenged(t.Context(), resp, need)
		if resp.StatusCode != want || again != (i == 0) || err != nil {
			t.Errorf("request %d: status %d, again %v, %v", i, resp.StatusCode, again, err)
		}
	}
	if got, want := tokens.Lines(), []string{"GET token - app:pull,push base:pull 200"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// At most 20 repositories and 4 KiB of query are asked for, the needed ones always; nothing is known of the rest.
func TestWishesAreBounded(t *testing.T) {
	tests := []struct {
		name, prefix string
		atMost       int
	}{
		{"many", "many/", 20},
		{"long", "many/" + strings.Repeat("x", 230), 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
			need := push(t, "app")
			for i := range 40 {
				need.Wish = need.Wish.Union(auth.Pull(tt.prefix + string(rune('a'+i/20)) + string(rune('a'+i%20))))
			}
			last := need.Wish.Repositories()[39]
			wantAnswer(t, "upload", w.upload(t, need), 2, 202)
			entry := w.tokens.Log()[0]
			if n := len(entry.Scopes); n > tt.atMost || n < tt.atMost-1 || entry.Scopes[0] != "repository:app:pull,push" {
				t.Errorf("%d scopes, the first is %q", n, entry.Scopes[0])
			}
			if _, known := w.host.Readable(need.Target, last); known {
				t.Errorf("%s is known but was not asked for", last)
			}
			wantAnswer(t, "mount", w.mount(t, need, last), 1, 202)
			if n := w.tokens.Count(); n != 2 {
				t.Errorf("%d token requests, want 2", n)
			}
		})
	}
}

// A credential for another registry never gets here.
func TestTargetOfAnotherRegistry(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	wantAnswer(t, "upload", w.upload(t, push(t, "app")), 2, 202)
	other := push(t, "app")
	other.Target = mustRepository(t, "other.test/app")
	req, _ := http.NewRequest(http.MethodGet, "http://"+registryHost+"/v2/", nil)
	err := w.host.Authorize(t.Context(), req, other)
	var e *auth.Error
	if !errors.As(err, &e) || e.Op != "credential" || req.Header.Get("Authorization") != "" {
		t.Errorf("%v, header %q", err, req.Header.Get("Authorization"))
	}
}

func TestAnonymous(t *testing.T) {
	for name, k := range map[string]authn.Keychain{"no keychain": nil, "anonymous": keychain{}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), Anonymous: []string{"app:pull,push"}})
			config := w.config(t)
			config.Keychain = k
			w.host = auth.New(config)
			wantAnswer(t, "upload", w.upload(t, push(t, "app")), 2, 202)
			w.wantTokens(t, "GET token - app:pull,push 200")
		})
	}
}
