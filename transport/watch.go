package transport

import (
	"context"
	"errors"
	"io"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// errStalled says that a request went for too long without a byte.
var errStalled = errors.New("no byte went either way for too long")

// watcher cuts a request that stalls: no byte of its content is taken, none of
// its reply arrives. The time that content takes to be read here does not count,
// nor does waiting for one of the few connections that a caller's transport may
// allow.
type watcher struct {
	cut     context.CancelCauseFunc
	commits bool // the request makes the registry commit something, and has no content that shows when it is out

	// mu guards the fields below.
	mu        sync.Mutex
	limit     time.Duration
	commit    time.Duration // the limit once all content is out
	settles   bool          // all content is out
	connected bool
	timer     *time.Timer
	ended     bool
}

// watch returns a context for a request, which ends when the request stalls: when
// nothing moves for limit, or for commit once all content is out. Few says that it
// may have to wait for a connection.
func watch(ctx context.Context, limit, commit time.Duration, few bool) (context.Context, *watcher) {
	ctx, cut := context.WithCancelCause(ctx)
	w := &watcher{cut: cut, limit: limit, commit: commit}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, func() { cut(errStalled) })
	trace := &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if w.commits && i.Err == nil {
				w.settling()
			}
		},
		Got1xxResponse: func(int, textproto.MIMEHeader) error { w.moved(); return nil },
	}
	if few {
		trace.GetConn = func(string) { w.hold() }
		trace.DNSStart = func(httptrace.DNSStartInfo) { w.dials() }
		trace.ConnectStart = func(string, string) { w.dials() }
		trace.TLSHandshakeStart = w.dials
		trace.GotConn = func(httptrace.GotConnInfo) { w.connects() }
	}
	return httptrace.WithClientTrace(ctx, trace), w
}

// dials starts the clock, unless there is a connection already: a transport may go
// on to dial for others.
func (w *watcher) dials() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.connected {
		w.start()
	}
}

// connects notes that there is a connection.
func (w *watcher) connects() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connected = true
	w.start()
}

// anew stops the clock while content is made that goes out from its beginning.
func (w *watcher) anew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settles = false
	w.timer.Stop()
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
	w.start()
}

// start starts the clock. The caller holds mu.
func (w *watcher) start() {
	switch {
	case w.ended:
	case w.settles:
		w.timer.Reset(w.commit)
	default:
		w.timer.Reset(w.limit)
	}
}

// settling says that all content is out, and what comes is the answer.
func (w *watcher) settling() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settles = true
	w.start()
}

// late says whether the request was cut while its answer was waited for.
func (w *watcher) late(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settles && errors.Is(err, errStalled)
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
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.watcher.settling()
	}
	return n, err
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
