package push

import (
	"context"
	"sync"
	"time"
)

// order lets the blobs of a run go on the wire one after the other, so that runs
// which share content send the same blobs at the same time. A nil order does not.
type order struct {
	blobs []int // in their order

	// mu guards the fields below.
	mu      sync.Mutex
	stages  []stage       // by blob
	changed chan struct{} // closed when a stage has changed; nil while nobody waits
}

// stage is how far a blob is.
type stage int

// The stages.
const (
	undecided stage = iota // it may be found, or be sent
	queued                 // it is about to be sent
	gone                   // it is on the wire, was there, or will not be
)

// undecidedTime bounds how long a blob that is to be sent waits for those before
// it of which that is not known yet.
const undecidedTime = 200 * time.Millisecond

func newOrder(blobs []int) *order {
	return &order{blobs: blobs, stages: make([]stage, len(blobs))}
}

// wait waits until those before a blob have gone on the wire, or will not.
func (o *order) wait(ctx context.Context, blob int) error {
	if o == nil {
		return nil
	}
	o.set(blob, queued)
	t := time.NewTimer(undecidedTime)
	defer t.Stop()
	for late := false; ; {
		changed := o.ahead(blob, late)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-t.C:
			late = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ahead returns what is closed when something changes, or nil when none of the
// blobs before one is to be waited for any more.
func (o *order) ahead(blob int, late bool) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.blobs {
		if b == blob {
			break
		}
		if s := o.stages[b]; s == queued || s == undecided && !late {
			if o.changed == nil {
				o.changed = make(chan struct{})
			}
			return o.changed
		}
	}
	return nil
}

// set notes how far a blob is. One that has gone stays so.
func (o *order) set(blob int, s stage) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stages[blob] = max(o.stages[blob], s)
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}
