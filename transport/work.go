package transport

import "sync/atomic"

// Work is what one caller does with a registry, such as one push. Its requests
// share one allowance of repeats, so that many requests to a registry that is
// in trouble do not add up, and they get a fair share of what may be on the wire
// at once. It may be used by many goroutines.
type Work struct {
	most int64
	left atomic.Int64 // of the allowance, counted like most in shares of a repeat
}

// perRepeat is how many answers give one repeat back. A registry that answers
// most requests is not in trouble, however long the push.
const perRepeat = 2

// NewWork returns a work whose requests may be repeated as often in all as r
// allows.
func NewWork(r Retry) *Work {
	w := &Work{most: perRepeat * int64(r.withDefaults().Budget)}
	w.left.Store(w.most)
	return w
}

// repeat takes one repeat out of the allowance.
func (w *Work) repeat() bool {
	if w.left.Add(-perRepeat) >= 0 {
		return true
	}
	w.left.Add(perRepeat)
	return false
}

// answered gives some of the allowance back after an answer that is no sign of
// trouble.
func (w *Work) answered() {
	if left := w.left.Load(); left < w.most {
		w.left.CompareAndSwap(left, left+1) // where another was faster, nothing is lost but this share
	}
}
