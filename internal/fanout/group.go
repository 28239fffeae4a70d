package fanout

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// ErrBehind is the error of a Read by a party that is left behind, and may not go
// on by itself now. Once it has opened the content again, it may.
var ErrBehind = errors.New("left behind by those who read the same content")

// Opener opens content anew, from its first byte.
type Opener func() (io.ReadCloser, error)

// Source is where content comes from.
type Source struct {
	// Key tells contents apart.
	Key string
	// Size in bytes.
	Size int64
	// Open opens the content. It is not called where another party has done so in
	// time.
	Open Opener
	// Scarce says that only so many sources can be open at the same time. Then
	// those that serve one party, and give what another has read already, are kept
	// few as long as others are at work.
	Scarce bool
}

// Limits says how much memory and time sharing may take.
type Limits struct {
	// Window is how much of one content is in memory, in bytes: how far the
	// parties that share it may be apart.
	Window int
	// Kept bounds the bytes of contents that fit into the window and are kept for
	// parties that have not come yet, of all contents together.
	Kept int
	// Gather is how long a content that is under way keeps its beginning for
	// parties that have not come yet, once that holds others back.
	Gather time.Duration
	// Patience is how long a party may hold others back at a time. In all it may
	// do so for as long, and an eighth of the time that the group has been at work.
	Patience time.Duration
	// Alone is how many scarce sources may be open for parties that cannot share
	// them, as long as others are at work.
	Alone int
}

// Group is the parties that may want the same contents, such as the targets of
// one push. It may be used by many goroutines. A nil Group shares nothing.
type Group struct {
	limits Limits
	pumps  sync.WaitGroup

	// mu guards the fields below. It may be taken while that of a content is held.
	mu       sync.Mutex
	began    time.Time // when the first content was opened
	parties  []party
	contents map[string]*content
	kept     int           // bytes of what is kept for parties that have not come yet
	alone    int           // turns that are taken
	ended    chan struct{} // closed when a turn ends or a party leaves; nil while nobody waits
}

// party is one of those that share.
type party struct {
	expected bool // it is waited for
	slow     bool // it was left behind
	account
}

// NewGroup returns a group of as many parties as there are elements in expected.
// Those that are true can be expected to open each content at about the same time
// as the others, until they leave it; nobody waits for the others, which may open
// a content as well.
func NewGroup(limits Limits, expected []bool) *Group {
	g := &Group{limits: limits, parties: make([]party, len(expected)), contents: map[string]*content{}}
	for i, e := range expected {
		g.parties[i].expected = e
	}
	return g
}

// Open opens content for a party, from its first byte, together with the others
// where there is something to share. The end of ctx ends a wait, no more than
// that: what was opened is closed by its Close, also while a Read is under way,
// which ends that Read.
//
// Errors: the cause of ctx, else that of opening the source.
func (g *Group) Open(ctx context.Context, party int, src Source) (io.ReadCloser, error) {
	if g == nil {
		return src.Open()
	}
	r, missed := g.content(src.Key).join(party, src)
	if r == nil {
		return g.apart(ctx, party, src, missed)
	}
	err := r.opened(ctx)
	if err == nil {
		return r, nil
	}
	_ = r.Close() // nothing was opened for this reader alone
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case r.first:
		return nil, err
	}
	return g.apart(ctx, party, src, true)
}

// Leave says that a party will not open a content any more, as far as it knows.
func (g *Group) Leave(party int, key string) {
	if g != nil {
		g.content(key).leave(party)
	}
}

// LeaveAll says that a party will open no content any more, as far as it knows.
func (g *Group) LeaveAll(party int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.parties[party].expected = false
	g.notify()
	all := make([]*content, 0, len(g.contents))
	for _, c := range g.contents {
		all = append(all, c)
	}
	g.mu.Unlock()
	for _, c := range all {
		c.leave(party)
	}
}

// Wait waits until no source is being read any more. All that was opened must
// have been closed, or be about to be.
func (g *Group) Wait() {
	if g != nil {
		g.pumps.Wait()
	}
}

// content returns the content with a key.
func (g *Group) content(key string) *content {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.began.IsZero() {
		g.began = time.Now()
	}
	c := g.contents[key]
	if c == nil {
		c = &content{group: g, met: make([]bool, len(g.parties)), first: -1}
		g.contents[key] = c
	}
	return c
}

// isExpected says whether a party has not left.
func (g *Group) isExpected(party int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.parties[party].expected
}

// keep takes n bytes out of what may be kept.
func (g *Group) keep(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept+n > g.limits.Kept {
		return false
	}
	g.kept += n
	return true
}

// drop gives n bytes back.
func (g *Group) drop(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept -= n
}
