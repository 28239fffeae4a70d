package fanout

import (
	"context"
	"io"
	"time"
)

// reader is the content as one party reads it: from the window of a stream, or,
// once that is of no use to it, from a source of its own. Read is called by one
// goroutine at a time.
type reader struct {
	stream *stream
	party  int
	src    Source
	first  bool // the stream was begun for it

	// The mutex of the content guards the fields below.
	at      int64         // position of the next byte
	own     io.ReadCloser // its own source; nil while it reads from the window
	behind  bool          // it was too slow to read from the window any longer
	waiting bool          // a Read waits for bytes
	holding time.Time     // since when it holds others back; zero while it does not
	closed  bool
	end     func() // ends its turn; nil for none

	skip int64 // bytes of its own source that it has had already; used by Read alone
}

// opened waits until the source is open. The error is that of opening it, or
// the cause of ctx.
func (r *reader) opened(ctx context.Context) error {
	c, s := r.stream.content, r.stream
	c.mu.Lock()
	defer c.mu.Unlock()
	for !s.begun && s.failed == nil {
		changed := c.wait()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if s.begun {
		return nil
	}
	return s.failed
}

// Read reads on. A source that breaks is opened again, for this reader alone.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, own, err := r.take(p)
	if own == nil {
		return n, err
	}
	for r.skip > 0 {
		n, err := own.Read(p[:min(int64(len(p)), r.skip)])
		r.skip -= int64(n)
		if err == io.EOF && r.skip > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil || n == 0 {
			return 0, err
		}
	}
	return own.Read(p)
}

// take takes bytes from the window, for which it waits, or returns the reader's
// own source.
func (r *reader) take(p []byte) (int, io.ReadCloser, error) {
	c, s := r.stream.content, r.stream
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { r.waiting = false }()
	for {
		switch {
		case r.closed:
			return 0, nil, io.ErrClosedPipe
		case r.own != nil:
			return 0, r.own, nil
		case r.behind || s.failed != nil && r.at == s.head:
			own, err := r.part()
			return 0, own, err
		case r.at < s.head:
			n := s.copy(p, r.at)
			r.at, r.holding = r.at+int64(n), time.Time{}
			c.notify()
			return n, nil, nil
		case s.ended:
			return 0, nil, io.EOF
		}
		if !r.waiting {
			r.waiting = true
			c.notify()
		}
		c.pause(0)
	}
}

// part opens the reader's own source, from its first byte. The caller holds mu,
// which is given up meanwhile.
func (r *reader) part() (io.ReadCloser, error) {
	c := r.stream.content
	r.stream.remove(r) // a source that failed was closed
	if r.behind && r.src.Scarce && r.end == nil {
		end, ok := c.group.takeTurn(r.party)
		if !ok {
			return nil, ErrBehind
		}
		r.end = end
	}
	c.mu.Unlock()
	own, err := r.src.Open()
	c.mu.Lock()
	if err != nil {
		return nil, err
	}
	if r.closed {
		_ = own.Close() // nothing was read
		return nil, io.ErrClosedPipe
	}
	r.own, r.skip = own, r.at
	return own, nil
}

// Close ends the reading, also while a Read is under way. The last to leave a
// stream closes its source. It may be called more than once.
func (r *reader) Close() error {
	c := r.stream.content
	c.mu.Lock()
	if r.closed {
		c.mu.Unlock()
		return nil
	}
	r.closed = true
	var last io.Closer = r.own
	if r.own == nil {
		last = r.stream.remove(r)
	}
	end := r.end
	c.notify()
	c.mu.Unlock()
	if end != nil {
		defer end()
	}
	if last == nil {
		return nil
	}
	return last.Close()
}
