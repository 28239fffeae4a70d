package transport

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// errStalled says that a request went for too long without a byte.
var errStalled = errors.New("no byte went either way for too long")

// watcher cuts a request that stalls: no byte of its content is taken, none of
// its reply arrives. The time that content takes to be read here does not count.
type watcher struct {
	cut   context.CancelCauseFunc
	limit time.Duration

	// mu guards the fields below.
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// watch returns a context for a request, which ends when the request stalls.
func watch(ctx context.Context, limit time.Duration) (context.Context, *watcher) {
	ctx, cut := context.WithCancelCause(ctx)
	w := &watcher{cut: cut, limit: limit}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, func() { cut(errStalled) })
	return ctx, w
}

// hold stops the clock while content is read here.
func (w *watcher) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
}

// moved starts the clock anew: something went on.
func (w *watcher) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(w.limit)
	}
}

// end ends the watch, and with it the request.
func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
	w.cut(nil)
}

// sent returns content that the watcher sees being taken.
func (w *watcher) sent(body io.ReadCloser) io.ReadCloser { return &sentBody{body, w} }

type sentBody struct {
	io.ReadCloser
	watcher *watcher
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.watcher.hold()
	defer b.watcher.moved()
	return b.ReadCloser.Read(p)
}

// received returns a reply whose bytes the watcher sees arrive.
func (w *watcher) received(body io.ReadCloser) io.ReadCloser { return &receivedBody{body, w} }

type receivedBody struct {
	io.ReadCloser
	watcher *watcher
}

func (b *receivedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watcher.moved()
	}
	return n, err
}
