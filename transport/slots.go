package transport

import "context"

// slots bounds how much is on the wire at once. A slot is held only while a
// request is on the wire, never while one waits.
type slots chan struct{}

func newSlots(n, otherwise int) slots {
	if n <= 0 {
		n = otherwise
	}
	return make(slots, n)
}

// take waits for a slot and returns how to give it back.
func (s slots) take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
