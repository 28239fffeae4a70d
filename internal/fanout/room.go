package fanout

import (
	"slices"
	"time"
)

// room waits until the window has room and returns a part of it to read into, or
// nil when nobody wants more.
func (s *stream) room() []byte {
	c := s.content
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(len(s.window))
	for !s.over {
		if n := s.tail() + size - s.head; n > 0 {
			at := s.head % size
			n = min(n, size-at)
			s.reserved = max(s.reserved, s.head+n)
			return s.window[at : at+n]
		}
		s.holdOn(time.Now())
	}
	return nil
}

// tail returns the position of the first byte that is still wanted. The caller
// holds mu.
func (s *stream) tail() int64 {
	if len(s.absent()) > 0 {
		return 0
	}
	tail := s.head
	for _, r := range s.readers {
		tail = min(tail, r.at)
	}
	return tail
}

// absent returns the parties for which the beginning is kept. The caller holds
// mu.
func (s *stream) absent() []int {
	if s.gone || !s.fromStart() {
		return nil
	}
	var parties []int
	for _, p := range s.content.pending() {
		if !s.content.group.behind(p, time.Now()) {
			parties = append(parties, p)
		}
	}
	return parties
}

// holdOn waits, while the window is full, until that may have changed. Those who
// have held others back for as long as they may are not waited for any more: a
// reader goes on by itself, and a party that has not come will open the content
// by itself. The caller holds mu.
func (s *stream) holdOn(now time.Time) {
	c := s.content
	if !s.starving() {
		for _, r := range s.readers {
			r.holding = time.Time{}
		}
		c.pause(0)
		return
	}
	parties, most := s.holders(now)
	if most <= 0 {
		return // somebody is not waited for any more
	}
	end := c.group.charge(parties, now)
	c.pause(most)
	end()
}

// starving says whether a reader waits for bytes. The caller holds mu.
func (s *stream) starving() bool {
	for _, r := range s.readers {
		if r.waiting && r.at == s.head {
			return true
		}
	}
	return false
}

// holders returns the parties that hold others back now, and for how long they
// may. It lets go of those that may not; then that is nothing. The caller holds
// mu.
func (s *stream) holders(now time.Time) (parties []int, most time.Duration) {
	g := s.content.group
	most = max(g.limits.Patience, g.limits.Gather)
	if absent := s.absent(); len(absent) > 0 {
		if s.gather.IsZero() {
			s.gather = now
		}
		most = min(most, g.limits.Gather-now.Sub(s.gather))
		if most <= 0 {
			s.gone = true
		}
		for _, p := range absent {
			parties, most = append(parties, p), min(most, g.left(p, now))
		}
	}
	for _, r := range slices.Clone(s.readers) {
		if s.head-r.at < int64(len(s.window)) {
			continue
		}
		if r.holding.IsZero() {
			r.holding = now
		}
		left := min(g.limits.Patience-now.Sub(r.holding), g.left(r.party, now))
		if left <= 0 {
			r.behind = true
			g.leaveBehind(r.party)
			s.remove(r)
		}
		parties, most = append(parties, r.party), min(most, left)
	}
	return parties, most
}
