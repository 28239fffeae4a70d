package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// crowd counts how many requests a handler serves at once, by what they carry.
type crowd struct {
	next http.Handler

	mu         sync.Mutex // guards the fields below
	now, most  int        // without content
	nowUploads int
	mostUpload int
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	now, most := &c.now, &c.most
	if req.Method == http.MethodPut {
		now, most = &c.nowUploads, &c.mostUpload
	}
	c.mu.Lock()
	*now++
	*most = max(*most, *now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		*now--
		c.mu.Unlock()
	}()
	c.next.ServeHTTP(w, req)
}

// No more requests are on the wire than was said, and as many as that.
func TestRequestsAtOnce(t *testing.T) {
	for _, tt := range []struct{ requests, uploads, most, mostUploads int }{
		{0, 0, 8, 4}, {1, 1, 1, 1}, {5, 2, 5, 2}, {64, 64, 30, 30},
	} {
		synctest.Test(t, func(t *testing.T) {
			registry := registrytest.New(registrytest.Behaviour{Latency: time.Second})
			c := &crowd{next: registry}
			h := newHost(t, publicHost, registrytest.Network{publicHost: c}, func(c *Config) {
				c.Requests, c.Uploads = tt.requests, tt.uploads
			})
			d, body := content(pattern(5000))
			open(t, repositoryOf(t, h, "app"), d)
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					r := repositoryOf(t, h, "app")
					s := open(t, r, d)
					wantStatus(t, "put", s.Put(t.Context(), d, body), 201)
				})
				wg.Go(func() {
					r := repositoryOf(t, h, "other")
					wantStatus(t, "check", r.Check(t.Context(), digest.FromString("blob")), 404)
				})
			}
			wg.Wait()
			if min(c.most, 30) != tt.most || c.mostUpload != tt.mostUploads {
				t.Errorf("%d requests and %d uploads at once; want %d, %d", c.most, c.mostUpload, tt.most, tt.mostUploads)
			}
		})
	}
}

// While one request waits to be sent again, another goes.
func TestNoPlaceIsHeldInAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := registrytest.New(registrytest.Behaviour{})
		r := newRepository(t, publicHost, "app", registry.Client(), patient(Retry{}), func(c *Config) { c.Requests, c.Uploads = 1, 1 })
		d, body := content(pattern(1000))
		slow, quick := open(t, r, d), open(t, r, d)
		registry.Inject(registrytest.Fault{Do: registrytest.Status(429), RetryAfter: "60", Times: 2})
		var wg sync.WaitGroup
		began := time.Now()
		wg.Go(func() { wantStatus(t, "slow put", slow.Put(t.Context(), d, body), 201) })
		synctest.Wait()
		wg.Go(func() { wantStatus(t, "slow check", r.Check(t.Context(), d), 200) })
		synctest.Wait()
		wantStatus(t, "put", quick.Put(t.Context(), d, body), 201)
		wantStatus(t, "check", r.Check(t.Context(), d), 200)
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v for those that wait", took)
		}
		wg.Wait()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("those that wait took %v", took)
		}
	})
}

// Nor is a place held while a token is fetched.
func TestNoPlaceIsHeldForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{})
		registry := registrytest.New(registrytest.Behaviour{Auth: tokens.Auth("https://tokens.test/token")})
		h := newHost(t, publicHost, registrytest.Network{publicHost: registry, "tokens.test": tokens}, func(c *Config) { c.Requests = 1 })
		r, other := repositoryOf(t, h, "app"), repositoryOf(t, h, "other")
		d := digest.FromString("blob")
		wantStatus(t, "check", r.Check(t.Context(), d), 404)
		tokens.SetBehaviour(func(b *registrytest.TokenBehaviour) { b.Delay = 50 * time.Second })
		var wg sync.WaitGroup
		wg.Go(func() { wantStatus(t, "with a new token", other.Check(t.Context(), d), 404) })
		synctest.Wait()
		began := time.Now()
		wantStatus(t, "with a token at hand", r.Check(t.Context(), d), 404)
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v for another's token", took)
		}
		wg.Wait()
	})
}

// A request that waits for its place, or for the first one to come back, ends
// with its context, and the place is not lost.
func TestCancelledWhileWaitingForAPlace(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			registry := registrytest.New(registrytest.Behaviour{})
			r := newRepository(t, publicHost, "app", registry.Client(), func(c *Config) { c.Requests = 1 })
			d := digest.FromString("blob")
			if known {
				r.Check(t.Context(), d)
			}
			registry.ResetLog()
			registry.Inject(registrytest.Fault{Do: registrytest.Stall, Delay: 30 * time.Second, Times: 1})
			var wg sync.WaitGroup
			wg.Go(func() { wantStatus(t, "slow", r.Check(t.Context(), d), 404) })
			synctest.Wait()
			cause := errors.New("enough")
			for range 10 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
					defer cancel()
					began := time.Now()
					a := r.Check(ctx, d)
					if a.Heard() || a.Requests != 0 || !errors.Is(a.Failure(), cause) || time.Since(began) != time.Second {
						t.Errorf("known %v: %v after %v, %d requests", known, a.Failure(), time.Since(began), a.Requests)
					}
				})
			}
			wg.Wait()
			wantStatus(t, "the next", r.Check(t.Context(), d), 404)
			if n := len(registry.Log()); n != 2 {
				t.Errorf("known %v: %d requests, want 2", known, n)
			}
		})
	}
}

// Of many that start at once, the first one alone finds out what the host asks
// for.
func TestFirstGoesAlone(t *testing.T) {
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{})
	server := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm), Latency: 20 * time.Millisecond})
	r := newRepository(t, server.Host, "app", nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { wantStatus(t, "check", r.Check(t.Context(), digest.FromString("blob")), 404) })
	}
	wg.Wait()
	if n := len(server.Registry.Log()); n != 21 || tokens.Count() != 1 {
		t.Errorf("%d requests and %d for tokens; want 21 and 1", n, tokens.Count())
	}
}

// Whatever becomes of requests, no goroutine of theirs is left.
func TestNoGoroutineIsLeft(t *testing.T) {
	server := registrytest.Start(t, registrytest.Behaviour{})
	base := &http.Transport{}
	r := newRepository(t, server.Host, "app", base, patient(Retry{Attempts: 2, Base: time.Millisecond}))
	wantStatus(t, "check", r.Check(t.Context(), digest.FromString("blob")), 404)
	base.CloseIdleConnections()
	before := runtime.NumGoroutine()
	d, body := content(pattern(300 << 10))
	stuck := Body{body.Size, func() (io.ReadCloser, error) { reader, _ := io.Pipe(); return reader, nil }}
	var count atomic.Int32
	for _, fault := range []registrytest.FaultKind{0, registrytest.Stall, registrytest.Refuse, registrytest.CutBody, registrytest.CutReply, 503} {
		var wg sync.WaitGroup
		put, stream, wrong := open(t, r, d), open(t, r, d), open(t, r, d)
		if fault != 0 {
			server.Registry.Inject(registrytest.Fault{Do: fault})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		for _, c := range calls() {
			wg.Go(func() { c.run(ctx, r); count.Add(1) })
		}
		wg.Go(func() { put.Put(ctx, d, body); count.Add(1) })
		wg.Go(func() { stream.Stream(ctx, d, body); count.Add(1) })
		wg.Go(func() { wrong.Put(ctx, d, stuck); count.Add(1) })
		wg.Wait()
		cancel()
		server.Registry.ClearFaults()
	}
	left := 0
	for range 500 {
		r.host.base.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		if left = runtime.NumGoroutine(); left <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if left > before || count.Load() != 60 {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before, after %d calls:\n%s", left, before, count.Load(), stacks[:runtime.Stack(stacks, true)])
	}
}
