package fanout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowly reads a content by a party as a push does: it begins anew when it was left
// behind. It returns how often it began.
func slowly(t *testing.T, g *Group, party int, src *source, key string, pause time.Duration) (begun int) {
	for {
		begun++
		content, err := reads{party: party, pause: pause}.readKey(g, src, key)
		if !errors.Is(err, ErrBehind) {
			whole(t, src, result{content: content, err: err})
			return begun
		}
	}
}

// TestTurns: while others are at work, a party that is behind has no more than
// two scarce sources open by itself, and gets to read all the same.
func TestTurns(t *testing.T) {
	for _, scarce := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGroup(limits(), []bool{true, true})
			sources := make([]*source, 4)
			for i := range sources {
				sources[i] = newSource(50_000)
				sources[i].scarce = scarce
			}
			var wg sync.WaitGroup
			again := make([]int, 4)
			for i, src := range sources {
				key := fmt.Sprint(i)
				wg.Go(func() { slowly(t, g, 0, src, key, 10*time.Millisecond) })
				wg.Go(func() { again[i] = slowly(t, g, 1, src, key, time.Second) - 1 })
			}
			time.Sleep(time.Minute) // the fast one is done, and has not said so
			alone, begun := 0, 0
			for i, src := range sources {
				opened, closed, _ := src.counts()
				alone += opened - closed
				begun += again[i]
			}
			if scarce && alone != 2 || !scarce && alone != 4 {
				t.Errorf("%d sources are open", alone)
			}
			g.LeaveAll(0)
			synctest.Wait()
			alone = 0
			for _, src := range sources {
				opened, closed, _ := src.counts()
				alone += opened - closed
			}
			if alone != 4 {
				t.Errorf("%d sources are open once the other has left", alone)
			}
			wg.Wait()
			begun = 0
			for _, n := range again {
				begun += n
			}
			if scarce && begun != 2 || !scarce && begun != 0 {
				t.Errorf("began anew %d times", begun)
			}
			g.Wait()
			if g.alone != 0 {
				t.Errorf("%d turns are left", g.alone)
			}
		})
	}
}

// TestTurnCancelled: the end of a context ends the wait for a turn.
func TestTurnCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits()
		l.Alone = 0
		src := newSource(3000)
		src.scarce = true
		g := NewGroup(l, []bool{true, true})
		content, err := reads{party: 1}.read(g, src)
		whole(t, src, result{content: content, err: err})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Open(ctx, 0, src.named("layer")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		g.LeaveAll(1)
		content, err = reads{party: 0}.read(g, src)
		whole(t, src, result{content: content, err: err})
		g.Wait()
	})
}
