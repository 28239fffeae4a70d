package transport

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Those that wait go in a fair order: the work with the least on the wire first,
// and of one work the largest request.
func TestPaceOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(1, 0)
		busy, idle := NewWork(Retry{}), NewWork(Retry{})
		release, err := p.take(t.Context(), busy, 1)
		if err != nil {
			t.Fatal(err)
		}
		var order []int64
		for _, w := range []struct {
			work *Work
			size int64
		}{{busy, 10}, {busy, 30}, {idle, 1}, {busy, 20}, {busy, 30}} {
			go func() {
				done, err := p.take(t.Context(), w.work, w.size)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, w.size) // one at a time
				done()
			}()
			synctest.Wait()
		}
		// The one of idle came third, but goes before the rest of busy's as long as
		// busy is on the wire.
		p.mu.Lock()
		p.bound = 2
		p.admit()
		p.mu.Unlock()
		synctest.Wait()
		release()
		synctest.Wait()
		if want := []int64{1, 30, 30, 20, 10}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		if p.onWire != 0 || len(p.works) != 0 || len(p.waiting) != 0 {
			t.Errorf("left behind: %+v", p)
		}
	})
}

// A registry that asks to slow down halves what may be on the wire, down to one
// request; answers let it grow, up to the bound that was given.
func TestPaceHeeds(t *testing.T) {
	p := newPace(8, 4)
	before := time.Now()
	time.Sleep(time.Millisecond)
	for _, want := range []float64{4, 2, 1, 1} {
		if p.heed(answered(429), time.Now()); p.bound != want {
			t.Errorf("after 429: %v, want %v", p.bound, want)
		}
	}
	p.heed(unheard(errors.New("broken")), before)
	if p.bound != 1 {
		t.Errorf("after no answer: %v, want 1", p.bound)
	}
	for range 100 {
		p.heed(answered(404), before)
	}
	if p.bound != 8 {
		t.Errorf("after many answers: %v, want 8", p.bound)
	}
	if p.heed(answered(429), before); p.bound != 8 {
		t.Errorf("after 429 to what was sent before: %v, want 8", p.bound)
	}
	if p.heed(answered(503), time.Now()); p.bound != 4 {
		t.Errorf("after 503: %v, want 4", p.bound)
	}
	if got := newPace(0, 4).bound; got != 4 {
		t.Errorf("the default is %v, want 4", got)
	}
}

// One that gives up waiting leaves no trace.
func TestPaceGivesUp(t *testing.T) {
	p := newPace(1, 0)
	w := NewWork(Retry{})
	release, err := p.take(t.Context(), w, 1)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := p.take(ctx, w, 1); !errors.Is(err, cause) || len(p.waiting) != 0 {
		t.Errorf("%v, %d waiting", err, len(p.waiting))
	}
	release()
	if p.onWire != 0 || len(p.works) != 0 {
		t.Errorf("left behind: %+v", p)
	}
}
