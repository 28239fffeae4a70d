package transport

import "sync/atomic"

// Work is what one caller does with a registry, such as one push. Its requests
// share one allowance of repeats, so that many requests to a registry that is
// in trouble do not add up, and they get a fair share of what may be on the wire
// at once. It may be used by many goroutines.
type Work struct {
	repeats atomic.Int64
}

// NewWork returns a work whose requests may be repeated as often in all as r
// allows.
func NewWork(r Retry) *Work {
	w := &Work{}
	w.repeats.Store(int64(r.withDefaults().Budget))
	return w
}

// repeat takes one repeat out of the allowance.
func (w *Work) repeat() bool { return w.repeats.Add(-1) >= 0 }
