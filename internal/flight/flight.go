// Package flight does one piece of work for many callers.
//
// Callers that ask for the same key while the work is under way share it: one
// token request serves every blob that waits for the token. The work belongs
// to all of them, so it is cancelled only when the last one leaves, and no
// caller can end it for the others. Nothing is kept once it has ended: neither
// a value nor a failure.
package flight

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// A Group shares work among the callers that ask for the same key at the same
// time. The zero value is ready for use. A Group is safe for concurrent use and
// must not be copied after its first use.
type Group[K comparable, V any] struct {
	mu    sync.Mutex // guards calls and the waiters of each call
	calls map[K]*call[V]
}

// A call is one run of the work.
type call[V any] struct {
	cancel  context.CancelFunc
	waiters int           // guarded by the Group's mu
	done    chan struct{} // closed once the fields below are set for good

	value    V
	err      error
	panicked *panicError // set when fn panicked
	exited   bool        // set when fn ended its goroutine with runtime.Goexit
}

// Do returns what fn returns, and runs it at most once at a time for a key: a
// caller that comes while it runs waits for that run, and its own fn is not
// called.
//
// fn gets a context of its own, with the values of the first caller's context
// and neither its deadline nor its cancellation. That context is cancelled when
// the last waiting caller has left, so no caller ever sees the end of another
// caller's context. fn must honour it, and must not call Do with its own key.
//
// A caller whose ctx ends leaves with ctx.Err() at once while others wait. The
// last to leave cancels fn and waits until fn has returned, so that no work
// outlives the calls that asked for it; this takes as long as fn takes to react.
// From that moment a new caller starts new work and does not join the old, even
// if the old fn still winds down. A caller whose ctx has ended beforehand starts
// nothing.
//
// Errors: ctx.Err(), or the error of fn, which goes to every caller that waited
// for this run and to no later one. A panic of fn is raised in each of them with
// the stack of fn; runtime.Goexit ends each of them likewise.
func (g *Group[K, V]) Do(ctx context.Context, key K, fn func(context.Context) (V, error)) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c := g.join(ctx, key, fn)
	select {
	case <-c.done:
		return c.result()
	case <-ctx.Done():
	}
	if g.leave(key, c) {
		c.cancel()
		<-c.done
		c.raise()
	}
	return none, ctx.Err()
}

// join enters the run of key that is under way, or starts one.
func (g *Group[K, V]) join(ctx context.Context, key K, fn func(context.Context) (V, error)) *call[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, ok := g.calls[key]; ok {
		c.waiters++
		return c
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &call[V]{cancel: cancel, waiters: 1, done: make(chan struct{})}
	if g.calls == nil {
		g.calls = make(map[K]*call[V])
	}
	g.calls[key] = c
	go g.run(work, key, c, fn)
	return c
}

// leave takes one caller out of c and reports whether it was the last one. In
// that case c can no longer be joined.
func (g *Group[K, V]) leave(key K, c *call[V]) (last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.waiters--
	if c.waiters > 0 {
		return false
	}
	g.forget(key, c)
	return true
}

// forget makes c unjoinable, unless a newer run has taken its place. The
// caller holds g.mu.
func (g *Group[K, V]) forget(key K, c *call[V]) {
	if g.calls[key] == c {
		delete(g.calls, key)
	}
}

// run does the work and publishes its end, whatever that end is.
func (g *Group[K, V]) run(ctx context.Context, key K, c *call[V], fn func(context.Context) (V, error)) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked = &panicError{value: v, stack: debug.Stack()}
			c.exited = false
		}
		g.mu.Lock()
		g.forget(key, c)
		g.mu.Unlock()
		c.cancel()
		close(c.done)
	}()
	c.exited = true
	c.value, c.err = fn(ctx)
	c.exited = false
}

// result hands out the end of a run that is done.
func (c *call[V]) result() (V, error) {
	c.raise()
	return c.value, c.err
}

// raise repeats, in the calling goroutine, an end of fn that was not a return.
func (c *call[V]) raise() {
	if c.panicked != nil {
		panic(c.panicked)
	}
	if c.exited {
		runtime.Goexit()
	}
}

// A panicError is what callers recover when fn panicked: the value of fn's
// panic with the stack of the goroutine in which it happened.
type panicError struct {
	value any
	stack []byte
}

// Error gives the value and the stack of the panic.
func (p *panicError) Error() string {
	return fmt.Sprintf("%v\n\n%s", p.value, p.stack)
}

// Unwrap gives the value of the panic if that was an error.
func (p *panicError) Unwrap() error {
	err, _ := p.value.(error)
	return err
}
