package push

import (
	"context"
	"sync"
)

// turns lets the pushes that have to update one list of referrers go one at a
// time, and the first of them take along what the others wait to add. The zero
// value is ready.
type turns struct {
	// mu guards queues and what is in them.
	mu     sync.Mutex
	queues map[string]*queue
}

// queue is the pushes that have to update one list.
type queue struct {
	free    chan struct{} // holds a token while it is nobody's turn
	members int
	wanted  referrers // what they want to add, all of them
	written referrers // what one of them has added
}

// take waits for the turn. It returns what is to be added: what the caller wants
// and what others wait to; or nil when another has added what the caller wants. The
// turn lasts until leave is called, with whether all was added.
func (t *turns) take(ctx context.Context, key string, own *referrers) (want *referrers, leave func(done bool), err error) {
	q := t.join(key, own)
	select {
	case <-q.free:
	case <-ctx.Done():
		t.quit(key, q)
		return nil, nil, context.Cause(ctx)
	}
	want = t.wanted(q)
	if !t.written(q).merge(own) {
		q.free <- struct{}{}
		t.quit(key, q)
		return nil, nil, nil
	}
	all := want.copy()
	return want, func(done bool) {
		if done {
			t.mu.Lock()
			q.written.merge(all)
			t.mu.Unlock()
		}
		q.free <- struct{}{}
		t.quit(key, q)
	}, nil
}

// join makes the caller a member of a queue.
func (t *turns) join(key string, own *referrers) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues == nil {
		t.queues = map[string]*queue{}
	}
	q := t.queues[key]
	if q == nil {
		q = &queue{free: make(chan struct{}, 1)}
		q.free <- struct{}{}
		t.queues[key] = q
	}
	q.members++
	q.wanted.merge(own)
	return q
}

// quit ends the membership of the caller.
func (t *turns) quit(key string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.members--; q.members == 0 {
		delete(t.queues, key)
	}
}

// wanted returns a copy of what the members of a queue want to add.
func (t *turns) wanted(q *queue) *referrers {
	t.mu.Lock()
	defer t.mu.Unlock()
	return q.wanted.copy()
}

// written returns a copy of what the members of a queue have added.
func (t *turns) written(q *queue) *referrers {
	t.mu.Lock()
	defer t.mu.Unlock()
	return q.written.copy()
}
