package transport

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// pace bounds how many requests of one kind are on the wire to a host at once,
// over all that use the host. Those that wait go in a fair order: the work with
// the fewest requests on the wire is next, of two with as many the one that was
// not next the last time, and of one work the largest request.
// The bound is halved when the host asks to slow down, once for all requests that
// were on the wire together, and grows again by one for each round of requests
// that succeed.
type pace struct {
	most float64

	// mu guards the fields below.
	mu      sync.Mutex
	bound   float64
	slowed  time.Time // when the bound was last halved
	onWire  int
	works   map[*Work]int // requests on the wire, by work
	last    *Work         // that was let on the wire
	waiting []*turn       // in the order of arrival
}

// turn is a request that waits to go on the wire.
type turn struct {
	work *Work
	size int64
	may  chan struct{}
}

// newPace returns a pace of at most n requests, or of otherwise if n is not set.
func newPace(n, otherwise int) *pace {
	if n <= 0 {
		n = otherwise
	}
	return &pace{most: float64(n), bound: float64(n), works: map[*Work]int{}}
}

// take waits until a request of the given size may go on the wire, and returns
// what to call when it is off it again. A place is held only on the wire, never
// while a request waits to be repeated.
func (p *pace) take(ctx context.Context, w *Work, size int64) (release func(), err error) {
	t := &turn{work: w, size: size, may: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, t)
	p.admit()
	p.mu.Unlock()
	select {
	case <-t.may:
		return func() { p.leave(w) }, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.waiting {
		if other == t {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return nil, context.Cause(ctx)
		}
	}
	p.off(w) // it was admitted at the same moment
	return nil, context.Cause(ctx)
}

// leave gives a place back.
func (p *pace) leave(w *Work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off(w)
}

// off takes a request of w off the wire and lets others on. The caller holds mu.
func (p *pace) off(w *Work) {
	p.onWire--
	if p.works[w]--; p.works[w] <= 0 {
		delete(p.works, w)
	}
	p.admit()
}

// admit lets waiting requests onto the wire. The caller holds mu.
func (p *pace) admit() {
	for len(p.waiting) > 0 && p.onWire < max(1, int(p.bound)) {
		best := 0
		for i, t := range p.waiting {
			if p.before(t, p.waiting[best]) {
				best = i
			}
		}
		t := p.waiting[best]
		p.waiting = append(p.waiting[:best], p.waiting[best+1:]...)
		p.onWire++
		p.works[t.work]++
		p.last = t.work
		close(t.may)
	}
}

// before says whether a goes before b, which came earlier.
func (p *pace) before(a, b *turn) bool {
	if x, y := p.works[a.work], p.works[b.work]; x != y {
		return x < y
	}
	if a.work == b.work {
		return a.size > b.size
	}
	return b.work == p.last
}

// slower halves the bound at the given time, if the request that was asked to slow
// down was sent after it was halved the last time.
func (p *pace) slower(sent, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !sent.Before(p.slowed) {
		p.bound, p.slowed = max(1, p.bound/2), now
	}
}

// faster lets the bound grow after a success.
func (p *pace) faster() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bound = min(p.most, p.bound+1/p.bound)
	p.admit()
}

// heed lets the answer to a request that was sent at the given time change the
// bound: a registry that asks to slow down gets half, any other answer is a
// success as far as the pace goes.
func (p *pace) heed(a Answer, sent time.Time) {
	switch {
	case a.Limited || a.Status == http.StatusServiceUnavailable:
		p.slower(sent, time.Now())
	case a.Heard():
		p.faster()
	}
}
