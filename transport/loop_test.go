package transport

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// calls are the operations that may be repeated, by how patient they are.
func calls() map[string]struct {
	patience patience
	run      func(context.Context, *Repository) Answer
} {
	type op = struct {
		patience patience
		run      func(context.Context, *Repository) Answer
	}
	d := digest.FromString("blob")
	return map[string]op{
		"check": {whenUnheard, func(ctx context.Context, r *Repository) Answer { return r.Check(ctx, d) }},
		"mount": {briefly, func(ctx context.Context, r *Repository) Answer {
			a, _ := r.Mount(ctx, d, "base")
			return a
		}},
		"start": {whenUnheard, func(ctx context.Context, r *Repository) Answer {
			a, _ := r.Start(ctx, d)
			return a
		}},
		"get manifest": {whenUnheard, func(ctx context.Context, r *Repository) Answer {
			a, _ := r.Manifest(ctx, "v1")
			return a
		}},
		"head manifest": {whenUnheard, func(ctx context.Context, r *Repository) Answer { return r.HasManifest(ctx, "v1") }},
		"put manifest": {whenUnheard, func(ctx context.Context, r *Repository) Answer {
			return r.PutManifest(ctx, "v1", indexV1, []byte(emptyIndex))
		}},
		"tags": {whenUnheard, func(ctx context.Context, r *Repository) Answer { return r.Tags(ctx, 1) }},
	}
}

// Each operation is sent as often as its patience says and no more.
func TestLoopIsBounded(t *testing.T) {
	faults := []struct {
		do   registrytest.FaultKind
		want map[patience]int // requests
	}{
		{registrytest.Status(429), map[patience]int{briefly: 3, whenUnheard: 5}},
		{registrytest.Status(503), map[patience]int{briefly: 1, whenUnheard: 5}},
		{registrytest.ResetAfter, map[patience]int{briefly: 1, whenUnheard: 5}},
		{registrytest.NotHTTP, map[patience]int{briefly: 1, whenUnheard: 5}},
		{registrytest.Status(404), map[patience]int{briefly: 1, whenUnheard: 1}},
		{registrytest.Status(405), map[patience]int{briefly: 1, whenUnheard: 1}},
	}
	for _, fault := range faults {
		for op, c := range calls() {
			t.Run(fault.do.String()+" "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					registry := registrytest.New(registrytest.Behaviour{})
					registry.Inject(registrytest.Fault{Do: fault.do})
					r := newRepository(t, publicHost, "app", registry.Client(), patient(Retry{}))
					began := time.Now()
					a := c.run(t.Context(), r)
					want := fault.want[c.patience]
					if n := len(registry.Log()); n != want || a.Requests != want {
						t.Errorf("%d requests, the answer counts %d; want %d", n, a.Requests, want)
					}
					if took := time.Since(began); took > 9*time.Second {
						t.Errorf("waited %v; 600+1200+2400+4800 ms is the most", took)
					}
					if want == 1 && time.Since(began) != 0 {
						t.Errorf("waited %v for nothing", time.Since(began))
					}
				})
			})
		}
	}
}

// What the registry asks for is waited for, to the millisecond the first time.
func TestLoopWaitsAsTold(t *testing.T) {
	tests := []struct {
		name   string
		limit  registrytest.RateLimit
		took   time.Duration
		more   time.Duration // that it may take
		status int
		count  int
	}{
		{"seconds", registrytest.RateLimit{First: 2, RetryAfter: "3"}, 6 * time.Second, 0, 200, 3},
		{"date", registrytest.RateLimit{First: 1, RetryAfter: "Sat, 01 Jan 2000 00:00:09 GMT"}, 9 * time.Second, 0, 200, 2},
		{"GHCR", registrytest.RateLimit{First: 1, Message: "retry-after: 10.5ms, allowed: 2000/minute"}, 10500 * time.Microsecond, 0, 200, 2},
		{"GHCR, to many", registrytest.RateLimit{First: 4, Message: "retry-after: 10.5ms, allowed: 2000/minute"}, 4800 * time.Millisecond, 4 * time.Second, 200, 5},
		{"GHCR 403", registrytest.RateLimit{First: 1, Status: 403, RetryAfter: "5", Message: "secondary rate limit"}, 5 * time.Second, 0, 200, 2},
		{"longer than MaxAfter", registrytest.RateLimit{First: 1, RetryAfter: "121"}, 0, 0, 429, 1},
		{"absurd", registrytest.RateLimit{First: 1, RetryAfter: "1e99"}, 0, 0, 429, 1},
		{"for ever", registrytest.RateLimit{First: 99, RetryAfter: "5"}, 20 * time.Second, 0, 429, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := registrytest.New(registrytest.Behaviour{RateLimit: tt.limit})
				registry.PutManifest("app", "v1", manifestV1, []byte("{}"))
				r := newRepository(t, publicHost, "app", registry.Client(), patient(Retry{}))
				began := time.Now()
				a, m := r.Manifest(t.Context(), "v1")
				if took := time.Since(began); took < tt.took || took > tt.took+tt.more {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				wantStatus(t, "manifest", a, tt.status)
				if a.Requests != tt.count || a.Limited != (tt.status != 200) || (m.Body != nil) != (tt.status == 200) {
					t.Errorf("%d requests, limited %v, body %q", a.Requests, a.Limited, m.Body)
				}
				if limited := errors.Is(a.Failure(), ErrRateLimited); limited != a.Limited {
					t.Errorf("matches ErrRateLimited: %v", limited)
				}
			})
		})
	}
}

// The end of the context ends a wait, and the answer is the one that had come.
func TestLoopCancelledInWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := registrytest.New(registrytest.Behaviour{RateLimit: registrytest.RateLimit{First: 9, RetryAfter: "100"}})
		r := newRepository(t, publicHost, "app", registry.Client(), patient(Retry{}))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		a := r.Check(ctx, digest.FromString("blob"))
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("returned after %v, want 1.5 s", took)
		}
		wantStatus(t, "check", a, http.StatusTooManyRequests)
		if n := len(registry.Log()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

// A request under way ends with its context, and is not sent again.
func TestLoopCancelledInRequest(t *testing.T) {
	for op, c := range calls() {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := registrytest.New(registrytest.Behaviour{})
				registry.Inject(registrytest.Fault{Do: registrytest.Stall})
				r := newRepository(t, publicHost, "app", registry.Client(), patient(Retry{}))
				cause := errors.New("no longer wanted")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
				defer cancel()
				began := time.Now()
				a := c.run(ctx, r)
				if took := time.Since(began); took != time.Second {
					t.Errorf("returned after %v, want 1 s", took)
				}
				if a.Heard() || !errors.Is(a.Failure(), cause) || !errors.Is(a.Failure(), ErrUnheard) {
					t.Errorf("answer %v; want the cause", a.Failure())
				}
				if n := len(registry.Log()); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		})
	}
}

// Content is sent again from its first byte after a rate limit, and only then.
func TestLoopSendsContentAgain(t *testing.T) {
	tests := []struct {
		fault  registrytest.FaultKind
		status int
		count  int
		sent   int64
	}{
		{registrytest.Status(429), 201, 3, 3000},
		{registrytest.Status(503), 503, 1, 1000},
		{registrytest.ResetBefore, 0, 1, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := registrytest.New(registrytest.Behaviour{})
				r := newRepository(t, publicHost, "app", registry.Client(), patient(Retry{}))
				d, body := content(pattern(1000))
				s := open(t, r, d)
				registry.Inject(registrytest.Fault{Do: tt.fault, Times: 2, RetryAfter: "2"})
				began := time.Now()
				a := s.Put(t.Context(), d, body)
				wantStatus(t, "put", a, tt.status)
				if a.Requests != tt.count || a.Sent != tt.sent {
					t.Errorf("%d requests, %d bytes; want %d, %d", a.Requests, a.Sent, tt.count, tt.sent)
				}
				if want := time.Duration(tt.count-1) * 2 * time.Second; time.Since(began) != want {
					t.Errorf("took %v, want %v", time.Since(began), want)
				}
				if _, stands := registry.Blob("app", d); stands != (tt.status == 201) {
					t.Errorf("blob stands: %v", stands)
				}
			})
		})
	}
}
