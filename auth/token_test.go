package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// A token that the registry no longer takes is fetched anew, once.
func TestTokenRevoked(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), Opaque: opaque})
			need := push(t, "app", "base")
			wantAnswer(t, "upload", w.upload(t, need), 2, 202)
			for range 3 {
				time.Sleep(20 * time.Second)
				w.tokens.Revoke()
				wantAnswer(t, "mount", w.mount(t, need, "base"), 2, 202)
				wantAnswer(t, "upload", w.upload(t, need), 1, 202)
			}
			token := "GET token alice app:pull,push base:pull 200"
			w.wantTokens(t, token, token, token, token)
		})
	}
}

// A token that is refused at once is replaced once; that is forgotten when its successor has been good.
func TestTokenRevokedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice()})
		for range 3 {
			w.upload(t, push(t, "app"))
			w.tokens.Revoke()
			wantAnswer(t, "upload", w.upload(t, push(t, "app")), 2, 202)
			time.Sleep(5 * time.Minute)
		}
		if n := w.tokens.Count(); n != 6 {
			t.Errorf("%d token requests, want 6", n)
		}
	})
}

// The bound holds for each of many requests.
func TestNoLoopOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Skew: time.Hour, Delay: time.Second})
		var group sync.WaitGroup
		for range 64 {
			group.Go(func() {
				if a := w.upload(t, push(t, "app")); a.sent > 3 || a.status != 401 {
					t.Error(a)
				}
			})
		}
		group.Wait()
		if n := w.tokens.Count(); n != 2 {
			t.Errorf("%d token requests, want 2", n)
		}
	})
}

// However a registry and a token server contradict each other, a request is sent three times at the most.
func TestNoLoop(t *testing.T) {
	tests := []struct {
		name   string
		tokens registrytest.TokenBehaviour
		verify func(string) ([]string, bool)
	}{
		{"clock of the registry is ahead", registrytest.TokenBehaviour{Skew: time.Hour}, nil},
		{"clock of the registry is behind", registrytest.TokenBehaviour{Skew: -time.Hour}, nil},
		{"no token is valid", registrytest.TokenBehaviour{}, func(string) ([]string, bool) { return nil, false }},
		{"no token is enough", registrytest.TokenBehaviour{}, func(string) ([]string, bool) { return nil, true }},
		{"no opaque token is enough", registrytest.TokenBehaviour{Opaque: true}, func(string) ([]string, bool) { return nil, true }},
		{"nothing is granted", registrytest.TokenBehaviour{Users: map[string]registrytest.TokenUser{"alice": {Password: password}}}, nil},
		{"nothing is granted, opaque", registrytest.TokenBehaviour{Users: map[string]registrytest.TokenUser{"alice": {Password: password}}, Opaque: true}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.tokens)
			if tt.verify != nil {
				w.registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth.Verify = tt.verify })
			}
			need := push(t, "app", "base", "read")
			for range 3 {
				for what, a := range map[string]answer{"upload": w.upload(t, need), "mount": w.mount(t, need, "base")} {
					if a.sent > 3 || a.status != http.StatusUnauthorized && !errors.Is(a.err, auth.ErrSourceRefused) {
						t.Errorf("%s: %v", what, a)
					}
				}
			}
			if n := w.tokens.Count(); n > 12 {
				t.Errorf("%d token requests for 6 requests", n)
			}
		})
	}
}

// A token server may hand out the same token again and again.
func TestNoLoopWithOneToken(t *testing.T) {
	for _, reason := range []string{"invalid_token", "insufficient_scope", ""} {
		w := newWorld(t, registrytest.TokenBehaviour{})
		w.network[tokenHost] = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(`{"token":"always-the-same"}`))
		})
		w.network[registryHost] = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",error="`+reason+`"`)
			rw.WriteHeader(http.StatusUnauthorized)
		})
		need := push(t, "app", "base")
		for range 4 {
			if a := w.upload(t, need); a.sent > 3 || a.status != 401 || a.err != nil {
				t.Errorf("%q: %v", reason, a)
			}
		}
	}
}

func TestExpiry(t *testing.T) {
	tests := []struct {
		name      string
		behaviour registrytest.TokenBehaviour
		good      time.Duration // a token is used for so long
	}{
		{"five minutes", registrytest.TokenBehaviour{}, 290 * time.Second},
		{"a minute", registrytest.TokenBehaviour{Life: time.Minute}, 54 * time.Second},
		{"ten seconds", registrytest.TokenBehaviour{Life: 10 * time.Second}, 9 * time.Second},
		{"not stated", registrytest.TokenBehaviour{OmitExpiresIn: true}, 54 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.behaviour)
				need := push(t, "app")
				wantAnswer(t, "upload", w.upload(t, need), 2, 202)
				time.Sleep(tt.good - time.Millisecond)
				wantAnswer(t, "upload while good", w.upload(t, need), 1, 202)
				if n := w.tokens.Count(); n != 1 {
					t.Errorf("%d token requests while the token is good", n)
				}
				time.Sleep(time.Millisecond)
				wantAnswer(t, "upload after", w.upload(t, need), 1, 202)
				if n := w.tokens.Count(); n != 2 {
					t.Errorf("%d token requests after its end, want 2", n)
				}
			})
		})
	}
}

// The life of a token starts when it is asked for, and a token is used once even if it is over by then.
func TestSlowTokenServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Life: 20 * time.Second, Delay: 30 * time.Second})
		need := push(t, "app")
		wantAnswer(t, "upload", w.upload(t, need), 2, 202)
		wantAnswer(t, "upload", w.upload(t, need), 1, 202)
		if n := w.tokens.Count(); n != 2 {
			t.Errorf("%d token requests, want 2", n)
		}
	})
}

// A refusal is not for ever.
func TestRefusalIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := alice()
		w := newWorld(t, registrytest.TokenBehaviour{Users: users, RefuseForeign: 403})
		need := push(t, "app", "secret")
		wantAnswer(t, "upload", w.upload(t, need), 2, 202)
		w.tokens.SetBehaviour(func(b *registrytest.TokenBehaviour) { b.Users = nil })
		time.Sleep(9 * time.Minute)
		wantRefused(t, w, need, "secret", w.mount(t, need, "secret"))
		time.Sleep(2 * time.Minute)
		wantAnswer(t, "mount", w.mount(t, need, "secret"), 1, 202)
	})
}

// 64 requests that need the same token wait for one request.
func TestManyWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), Delay: time.Second})
		need := push(t, "app", "base")
		all := func(n int) {
			var group sync.WaitGroup
			for range n {
				group.Go(func() {
					if a := w.upload(t, need); a.err != nil || a.status != 202 || a.sent > 2 {
						t.Error(a)
					}
				})
			}
			group.Wait()
		}
		all(64)
		w.wantTokens(t, "GET token alice app:pull,push base:pull 200")
		time.Sleep(time.Minute)
		w.tokens.Revoke()
		all(64)
		w.wantTokens(t, "GET token alice app:pull,push base:pull 200")
		// All of them find the token not good enough, and one asks for another.
		w = newWorld(t, registrytest.TokenBehaviour{Users: alice(), Opaque: true, LastOnly: true, Delay: time.Second})
		for range 64 {
			go w.upload(t, need)
		}
		time.Sleep(time.Minute)
		w.wantTokens(t, "GET token alice app:pull,push base:pull 200", "GET token alice app:pull,push 200")
	})
}

// Requests with different needs but the same wishes wait for one request too.
func TestManyNeedsOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), Delay: time.Second})
		need := push(t, "app", "base", "read")
		wish := need.Must.Union(need.Wish)
		pull := auth.Need{Target: need.Target, Must: auth.Pull("app"), Wish: wish}
		head := wire.Request{Kind: wire.BlobHead, Repository: "app", Digest: digestA}
		// The challenge is known beforehand, so that all of them want a token at once.
		wantAnswer(t, "ping", w.send(t.Context(), wire.Request{Kind: wire.Ping}, auth.Need{}), 2, 200)
		w.tokens.ResetLog()
		var group sync.WaitGroup
		group.Go(func() { wantAnswer(t, "head", w.send(t.Context(), head, pull), 1, 404) })
		group.Go(func() { wantAnswer(t, "upload", w.upload(t, need), 1, 202) })
		group.Go(func() {
			wantAnswer(t, "mount", w.mount(t, auth.Need{Target: need.Target, Must: need.Must, Wish: wish}, "read"), 1, 202)
		})
		group.Wait()
		w.wantTokens(t, "GET token alice app:pull,push base:pull read:pull 200")
	})
}

// A waiter that leaves leaves alone.
func TestWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), Delay: 10 * time.Second})
		need := push(t, "app")
		upload := wire.Request{Kind: wire.UploadStart, Repository: "app"}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			a := w.send(hasty, upload, need)
			var e *auth.Error
			if !errors.Is(a.err, context.DeadlineExceeded) || !errors.As(a.err, &e) || e.Op != "token" || e.Realm != tokenHost {
				t.Errorf("the hasty one: %v", a)
			}
		})
		group.Go(func() {
			time.Sleep(time.Millisecond)
			wantAnswer(t, "the patient one", w.upload(t, need), 1, 202)
		})
		group.Wait()
		w.wantTokens(t, "GET token alice app:pull,push 200")

		// The last to leave takes the request with it, and nothing is remembered of that.
		w = newWorld(t, registrytest.TokenBehaviour{Users: alice(), Delay: 10 * time.Second})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if a := w.send(short, upload, need); !errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("alone: %v", a)
		}
		synctest.Wait()
		w.wantTokens(t, "GET token - app:pull,push -")
		wantAnswer(t, "the next one", w.upload(t, need), 1, 202)
	})
}

// A failing token server is no refusal; a failure is not remembered.
func TestTokenServerFails(t *testing.T) {
	const all, alone = "GET token - app:pull,push base:pull ", "GET token - app:pull,push "
	t.Run("once", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), FailFirst: 1})
		need := push(t, "app", "base")
		wantAnswer(t, "upload", w.upload(t, need), 2, 202)
		wantAnswer(t, "mount", w.mount(t, need, "base"), 1, 202)
		w.wantTokens(t, all+"500", "GET token alice app:pull,push 200", "GET token alice app:pull,push base:pull 200")
	})
	t.Run("twice", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{Users: alice(), FailFirst: 2, FailStatus: 503, RetryAfter: "7"})
		need := push(t, "app", "base")
		a := w.upload(t, need)
		var e *auth.Error
		if !errors.As(a.err, &e) || e.Status != 503 || !e.Temporary() || e.RetryAfter != "7" || !slices.Equal(e.Codes, []string{"UNAVAILABLE"}) {
			t.Errorf("%v, %+v", a, e)
		}
		w.wantTokens(t, all+"503", alone+"503")
		wantAnswer(t, "mount", w.mount(t, need, "base"), 1, 202)
		w.wantTokens(t, "GET token alice app:pull,push base:pull 200")
	})
	t.Run("always with a source", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{})
		good := w.network[tokenHost]
		w.network[tokenHost] = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if len(r.URL.Query()["scope"]) > 1 {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			good.ServeHTTP(rw, r)
		})
		need := push(t, "app", "base")
		wantAnswer(t, "upload", w.upload(t, need), 2, 202)
		a := w.mount(t, need, "base")
		var e *auth.Error
		if !errors.As(a.err, &e) || e.Status != 502 || errors.Is(a.err, auth.ErrSourceRefused) {
			t.Errorf("mount: %v", a)
		}
	})
	t.Run("too many requests", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{FailFirst: 1, FailStatus: 429, RetryAfter: "3"})
		a := w.upload(t, push(t, "app", "base"))
		var e *auth.Error
		if !errors.As(a.err, &e) || e.Status != 429 || !e.Temporary() || e.RetryAfter != "3" {
			t.Errorf("%v, %+v", a, e)
		}
		w.wantTokens(t, all+"429")
	})
	t.Run("broken off", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{})
		w.network[tokenHost] = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(`{"token":`))
			panic(http.ErrAbortHandler)
		})
		if a := w.upload(t, push(t, "app", "base")); !errors.Is(a.err, io.ErrUnexpectedEOF) {
			t.Errorf("%v", a)
		}
	})
	t.Run("not there", func(t *testing.T) {
		w := newWorld(t, registrytest.TokenBehaviour{})
		delete(w.network, tokenHost)
		a := w.upload(t, push(t, "app", "base"))
		var e *auth.Error
		if !errors.Is(a.err, registrytest.ErrNoHost) || !errors.As(a.err, &e) || e.Status != 0 || e.Temporary() || a.sent != 1 {
			t.Errorf("%v", a)
		}
	})
}
