package stress_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

const (
	cancels     = 20
	cancelTries = 3
)

// cancelBound is how soon a cancelled push returns. With the race detector, which
// makes all of it slower, it is only said that it does.
func cancelBound() time.Duration {
	if raceEnabled {
		return time.Second
	}
	return 100 * time.Millisecond
}

// TestCancel cancels pushes at random points: from some request on the registry
// answers nothing but DELETE. The push returns at once, leaves no goroutine, and
// has cancelled the sessions that it opened. It gives the registry little time
// for that, so a point where a busy machine was too slow is tried again.
func TestCancel(t *testing.T) {
	layers := makeLayers(t, 11, 8, 256<<10)
	seed := flagged[uint64]("seed")
	s := serve(t, slow(), nil)
	base := transport(t)
	if _, err := pusher(t, push.WithTransport(base)).Push(context.Background(), mustImage(t, "app", layers), reference(t, s.addr, "app:v1")); err != nil {
		t.Fatal(err)
	}
	gone(t, base)
	requests := s.now().Count().Requests
	t.Logf("seed %d; %d requests", seed, requests)
	for n := range cancels {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			at := random.IntN(requests)
			for range cancelTries {
				if cancelled(t, layers, at, random) {
					return
				}
			}
			t.Errorf("too slow, or sessions are left, %d times", cancelTries)
		})
	}
}

// cancelled cancels a push after the registry has stalled at the given request,
// and says whether it returned in time and no session was left.
func cancelled(t *testing.T, layers []layer, at int, random *rand.Rand) bool {
	s := serve(t, slow(), nil)
	s.crossed = true
	r := s.now()
	r.Inject(registrytest.Fault{Skip: at, Do: registrytest.Stall, Match: func(e registrytest.Entry) bool { return e.Method != http.MethodDelete }})
	base := transport(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	done := make(chan error, 1)
	go func() {
		_, err := pusher(t, push.WithTransport(base)).Push(ctx, mustImage(t, "app", layers), reference(t, s.addr, "app:v1"))
		done <- err
	}()
	await(t, "the stall", func() bool { return stalled(r) })
	time.Sleep(20*time.Millisecond + time.Duration(random.IntN(60))*time.Millisecond)
	open := r.OpenSessions()
	late := lateness()
	began := time.Now()
	cancel(enough)
	err := <-done
	took, slack := time.Since(began), late()
	if !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
	gone(t, base)
	left := r.OpenSessions()
	t.Logf("stalled at request %d, %d sessions were open, %d are left; returned after %v (timers were late by up to %v)",
		at, open, left, took.Round(time.Microsecond), slack.Round(time.Microsecond))
	return took <= cancelBound()+slack && left == 0
}

// stalled says whether a request has met the stall.
func stalled(r *registrytest.Registry) bool {
	for _, e := range r.Log() {
		if e.Fault == registrytest.Stall {
			return true
		}
	}
	return false
}

// lateness measures until it is called how late timers are: what a busy machine
// adds to whatever is measured meanwhile.
func lateness() (most func() time.Duration) {
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		var most time.Duration
		for {
			began := time.Now()
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(time.Millisecond):
				most = max(most, time.Since(began)-time.Millisecond)
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-result
	}
}

// gone waits, for two seconds at the most, until no goroutine of a push is left.
func gone(t *testing.T, base *http.Transport) {
	t.Helper()
	left := ""
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		base.CloseIdleConnections()
		runtime.GC() // closes the connections of Pushers of other tests
		if left = ours(); left == "" {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// ours returns the stacks of goroutines that a push has started.
func ours() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for _, s := range strings.Split(string(stacks), "\n\n") {
		for _, of := range []string{"crossmount/push.", "crossmount/transport.", "crossmount/auth.", "net/http.(*persistConn)", "net/http.(*Transport)"} {
			if strings.Contains(s, of) {
				found = append(found, s)
				break
			}
		}
	}
	return strings.Join(found, "\n\n")
}
