package flight

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type key struct{}

// eventually reports whether ok gets true within five seconds. The runtime
// counts a goroutine for a moment after its function has returned, so a count
// that is read once says nothing on a busy machine.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// waiting returns how many callers wait for the run of k.
func waiting[K comparable, V any](g *Group[K, V], k K) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[k]; c != nil {
		return c.waiters
	}
	return 0
}

// The clock is the real one here: the counts of goroutines have to be waited
// for, and a bubble's clock does not wait.
func TestDoSharesOneRun(t *testing.T) {
	const callers = 1000
	var g Group[string, int]
	var runs atomic.Int32
	release := make(chan struct{})
	fn := func(context.Context) (int, error) {
		runs.Add(1)
		<-release
		return 42, nil
	}
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if v, err := g.Do(t.Context(), "k", fn); v != 42 || err != nil {
				t.Errorf("Do = %d, %v; want 42, nil", v, err)
			}
		})
	}
	if !eventually(func() bool { return waiting(&g, "k") == callers }) {
		t.Errorf("%d callers wait for one run, want %d", waiting(&g, "k"), callers)
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= before+callers+1 }) {
		t.Errorf("%d goroutines beside the callers, want one at most", runtime.NumGoroutine()-before-callers)
	}
	close(release)
	wg.Wait()
	if n := runs.Load(); n != 1 {
		t.Errorf("fn ran %d times, want once", n)
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
		t.Errorf("%d goroutines after Do, %d before it", runtime.NumGoroutine(), before)
	}
	if len(g.calls) != 0 {
		t.Errorf("%d calls kept", len(g.calls))
	}
}

func TestDoKeysAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int, int]
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 50 {
			wg.Go(func() {
				v, err := g.Do(t.Context(), i, func(context.Context) (int, error) {
					time.Sleep(time.Second)
					return i, nil
				})
				if v != i || err != nil {
					t.Errorf("Do(%d) = %d, %v", i, v, err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d != time.Second {
			t.Errorf("50 keys took %v, want 1s: they waited for each other", d)
		}
	})
}

func TestDoKeepsValuesOnly(t *testing.T) {
	ctx := context.WithValue(t.Context(), key{}, "kept")
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	var g Group[string, string]
	v, err := g.Do(ctx, "k", func(ctx context.Context) (string, error) {
		if _, ok := ctx.Deadline(); ok {
			t.Error("the work has the first caller's deadline")
		}
		return ctx.Value(key{}).(string), nil
	})
	if v != "kept" || err != nil {
		t.Errorf("Do = %q, %v; want the context's value", v, err)
	}
}

// The first caller's deadline passes while another waits: the first gets its
// own error at once, the other the value.
func TestDoLeaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		fn := func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(time.Minute):
				return 7, nil
			}
		}
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := g.Do(ctx, "k", fn); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("leader: %v, want its deadline", err)
			}
			if d := time.Since(start); d != time.Second {
				t.Errorf("leader left after %v, want 1s", d)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if v, err := g.Do(t.Context(), "k", fn); v != 7 || err != nil {
				t.Errorf("follower: %d, %v; want 7, nil", v, err)
			}
			if d := time.Since(start); d != time.Minute {
				t.Errorf("follower waited %v, want 1m: the work was started again", d)
			}
		})
		wg.Wait()
	})
}

// The work is cancelled when, and only when, the last caller leaves, and that
// caller waits for the work to end.
func TestDoLastLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		start := time.Now()
		var cancelled, ended time.Duration
		fn := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			cancelled = time.Since(start)
			time.Sleep(100 * time.Millisecond) // reaction
			ended = time.Since(start)
			return 0, ctx.Err()
		}
		var wg sync.WaitGroup
		left := make([]time.Duration, 3)
		for i := range left {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				if _, err := g.Do(ctx, "k", fn); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("caller %d: %v, want its deadline", i, err)
				}
				left[i] = time.Since(start)
			})
		}
		wg.Wait()
		if left[0] != time.Second || left[1] != 2*time.Second {
			t.Errorf("callers left after %v, want 1s and 2s", left[:2])
		}
		if cancelled != 3*time.Second {
			t.Errorf("work cancelled after %v, want 3s", cancelled)
		}
		if left[2] != ended || ended == 0 {
			t.Errorf("the last caller left after %v, the work ended after %v", left[2], ended)
		}
	})
}

// A caller that comes after the last one has left gets new work, although the
// old still winds down.
func TestDoAfterCancelStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string]
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := g.Do(ctx, "k", func(ctx context.Context) (string, error) {
				<-ctx.Done()
				time.Sleep(time.Minute)
				return "old", nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("first caller: %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		fresh := func(context.Context) (string, error) {
			time.Sleep(2 * time.Minute) // longer than the old work winds down
			return "new", nil
		}
		for range 2 {
			wg.Go(func() {
				if v, err := g.Do(t.Context(), "k", fresh); v != "new" || err != nil {
					t.Errorf("second caller: %q, %v; want new work", v, err)
				}
			})
		}
		time.Sleep(90 * time.Second) // the old work has ended, the new has not
		if v, err := g.Do(t.Context(), "k", func(context.Context) (string, error) { return "third", nil }); v != "new" || err != nil {
			t.Errorf("caller after the old work's end: %q, %v; want the new work", v, err)
		}
		wg.Wait()
	})
}

func TestDoFailureIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		failure := errors.New("refused")
		runs := 0
		fn := func(context.Context) (int, error) {
			time.Sleep(time.Second)
			if runs++; runs == 1 {
				return 0, failure
			}
			return 1, nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := g.Do(t.Context(), "k", fn); err != failure {
					t.Errorf("waiter: %v, want %v", err, failure)
				}
			})
		}
		wg.Wait()
		if v, err := g.Do(t.Context(), "k", fn); v != 1 || err != nil {
			t.Errorf("later caller: %d, %v; want 1, nil", v, err)
		}
	})
}

func TestDoEndedContextStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var g Group[string, int]
	_, err := g.Do(ctx, "k", func(context.Context) (int, error) {
		t.Error("fn ran")
		return 0, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Do: %v, want context.Canceled", err)
	}
}

func TestDoPanicReachesEveryCaller(t *testing.T) {
	cause := errors.New("out of range")
	for _, tt := range []struct {
		name   string
		cancel bool // the callers leave, and fn panics when it is cancelled
		want   int32
	}{
		{"waiting", false, 5},
		{"leaving", true, 1}, // the last one only: the others have left
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var g Group[string, int]
				var panics atomic.Int32
				caller := func() {
					defer func() {
						v := recover()
						if v == nil {
							return
						}
						panics.Add(1)
						err, ok := v.(error)
						if !ok || !errors.Is(err, cause) || !strings.Contains(err.Error(), "flight_test.go") {
							t.Errorf("recovered %v, want %v with fn's stack", v, cause)
						}
					}()
					_, err := g.Do(ctx, "k", func(ctx context.Context) (int, error) {
						select {
						case <-ctx.Done():
						case <-time.After(time.Second):
						}
						panic(cause)
					})
					if !tt.cancel {
						t.Errorf("Do returned %v, want a panic", err)
					}
				}
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(caller)
				}
				synctest.Wait()
				if tt.cancel {
					cancel()
				}
				wg.Wait()
				if n := panics.Load(); n != tt.want {
					t.Errorf("%d callers panicked, want %d", n, tt.want)
				}
			})
		})
	}
}

func TestDoGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := g.Do(t.Context(), "k", func(context.Context) (int, error) {
					time.Sleep(time.Second)
					runtime.Goexit()
					return 0, nil
				})
				t.Errorf("Do returned %v after Goexit", err)
			})
		}
		wg.Wait()
	})
}

// Callers come and leave at random times. Every one must get a value of a run
// that was under way while it waited, or its own deadline on time, and at no
// time do two uncancelled runs overlap.
func TestDoChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const reaction = 3 * time.Millisecond
		var g Group[string, time.Time]
		var live atomic.Int32
		fn := func(ctx context.Context) (time.Time, error) {
			if live.Add(1) > 1 {
				t.Error("two uncancelled runs at once")
			}
			select {
			case <-ctx.Done():
				live.Add(-1)
				time.Sleep(reaction)
				return time.Time{}, ctx.Err()
			case <-time.After(10 * time.Millisecond):
				live.Add(-1)
				return time.Now(), nil
			}
		}
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i*7919%997) * 100 * time.Microsecond)
				patience := time.Duration(1+i*31%14)*time.Millisecond + time.Microsecond
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				start := time.Now()
				end, err := g.Do(ctx, "k", fn)
				took := time.Since(start)
				switch {
				case err == nil && (end.Before(start) || took > patience):
					t.Errorf("value from before the call, or after %v of %v", took, patience)
				case err != nil && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("a caller saw %v, which is not its own", err)
				case err != nil && took != patience && took != patience+reaction:
					t.Errorf("left after %v with a patience of %v", took, patience)
				}
			})
		}
		wg.Wait()
	})
}
