package fanout

import (
	"context"
	"io"
	"sync"
)

// waitTurn waits until a party may have one more scarce source open for itself,
// and returns what to call when it is closed.
func (g *Group) waitTurn(ctx context.Context, party int) (end func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.mayAlone(party) {
		if g.ended == nil {
			g.ended = make(chan struct{})
		}
		ended := g.ended
		g.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
		}
		g.mu.Lock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	g.alone++
	return g.endTurn, nil
}

// takeTurn is waitTurn without a wait.
func (g *Group) takeTurn(party int) (end func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mayAlone(party) {
		return nil, false
	}
	g.alone++
	return g.endTurn, true
}

// endTurn gives a turn to others.
func (g *Group) endTurn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alone--
	g.notify()
}

// mayAlone says whether a party may have one more scarce source open for itself:
// few are as long as a party that keeps pace is at work. The caller holds mu.
func (g *Group) mayAlone(party int) bool {
	if g.alone < g.limits.Alone {
		return true
	}
	for p, other := range g.parties {
		if p != party && other.expected && !other.slow {
			return false
		}
	}
	return true
}

// notify tells those who wait for a turn that there may be one. The caller holds
// mu.
func (g *Group) notify() {
	if g.ended != nil {
		close(g.ended)
		g.ended = nil
	}
}

// leaveBehind notes that a party was left behind.
func (g *Group) leaveBehind(party int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parties[party].slow = true
	g.notify()
}

// isSlow says whether a party was left behind.
func (g *Group) isSlow(party int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.parties[party].slow
}

// apart opens a source for one party. Where the source is scarce, and the content
// was read for others, it waits for its turn.
func (g *Group) apart(ctx context.Context, party int, src Source, missed bool) (io.ReadCloser, error) {
	if !src.Scarce || !missed {
		return src.Open()
	}
	end, err := g.waitTurn(ctx, party)
	if err != nil {
		return nil, err
	}
	rc, err := src.Open()
	if err != nil {
		end()
		return nil, err
	}
	return &apart{ReadCloser: rc, end: end}, nil
}

// apart is a source that is open for one party.
type apart struct {
	io.ReadCloser
	once sync.Once
	end  func() // ends its turn
}

// Close closes the source and ends the turn.
func (a *apart) Close() error {
	defer a.once.Do(a.end)
	return a.ReadCloser.Close()
}
