package fanout

import (
	"sync"
	"time"
)

// content is one content, and the reading of its source that can be shared, if
// there is one.
type content struct {
	group *Group

	// mu guards the fields below, and those of streams and readers of this content.
	mu      sync.Mutex
	met     []bool        // parties that have opened it, or will not
	first   int           // the party that was the first to open it, but for those kept apart; -1 before
	stream  *stream       // nil for none
	changed chan struct{} // closed when something changes; nil while nobody waits
}

// wait returns a channel that is closed when something has changed. The caller
// holds mu.
func (c *content) wait() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// notify tells those who wait that something has changed. The caller holds mu.
func (c *content) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// pause gives mu up until something changes, for a time at the most if that is
// not 0. The caller holds mu.
func (c *content) pause(most time.Duration) {
	changed := c.wait()
	c.mu.Unlock()
	defer c.mu.Lock()
	if most == 0 {
		<-changed
		return
	}
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

// pending returns the parties that can be expected to open the content and have
// not yet. The caller holds mu.
func (c *content) pending() []int {
	var parties []int
	for p, met := range c.met {
		if !met && c.group.isExpected(p) {
			parties = append(parties, p)
		}
	}
	return parties
}

// join returns a reader that shares the source with others, or nil where there is
// nothing to share: nobody else can be expected, or others were too early. A party
// that is behind does not join the others.
func (c *content) join(party int, src Source) (r *reader, missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.met[party] = true
	c.notify()
	missed = c.missed(party, src.Scarce)
	s := c.stream
	switch {
	case missed || s == nil && len(c.pending()) == 0:
		if c.first < 0 && !missed {
			c.first = party
		}
		return nil, missed
	case s == nil:
		s = newStream(c, src.Size)
		c.stream, c.first = s, party
		c.group.pumps.Go(func() { s.run(src.Open) })
		r := s.add(party, src)
		r.first = true
		return r, false
	}
	return s.add(party, src), false
}

// missed says whether a party can read nothing but what is read for others, or is
// to be kept apart from them. The caller holds mu.
func (c *content) missed(party int, scarce bool) bool {
	s, g := c.stream, c.group
	switch {
	case s == nil:
		return c.first >= 0 && c.first != party || scarce && g.isSlow(party)
	case !s.fromStart():
		return true
	}
	return !s.ended && g.behind(party, time.Now())
}

// leave notes that a party will not open the content.
func (c *content) leave(party int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.met[party] = true
	c.notify()
	if c.stream != nil {
		c.stream.settle() // what is kept was read to its end: nothing is left to close
	}
}
