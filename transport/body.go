package transport

import (
	"context"
	_ "crypto/sha256" // the digest algorithms that go-digest verifies with
	_ "crypto/sha512"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Body is the content of a blob: something that can be opened again for each
// time that it is sent. It is opened only when bytes must go out.
type Body struct {
	// Size in bytes, exactly.
	Size int64
	// Open returns the content from its first byte. When a request ends early, it
	// may be closed while a Read is under way, which should end that Read.
	Open func() (io.ReadCloser, error)
}

// holdBack is how many of the last bytes wait for the digest of the whole
// content: while they are missing, no registry can take the blob for complete.
const holdBack = 512

// readBuffer is how much content of one blob is in memory.
const readBuffer = 64 << 10

// maxIdle is how often in a row a source may give nothing.
const maxIdle = 100

// checkedBody reads content and checks it on the way. The last bytes come out
// only once the size and the digest of all are right, so that content which is
// not what it should be never arrives whole.
type checkedBody struct {
	want digest.Digest
	size int64
	src  io.ReadCloser

	// reading guards the fields below it, and is held while src is read.
	reading sync.Mutex
	hash    hash.Hash
	buf     []byte // read and hashed from lo to hi, not yet handed out
	lo, hi  int
	read    int64
	wrong   error // why the content is of no use
	atEnd   bool

	// mu guards the fields below it. It is never held while src is read, so that
	// a body can be closed whose source keeps one waiting.
	mu     sync.Mutex
	stop   func() bool // forgets the context
	sent   int64
	err    error // wrong, once a Read has met it
	closed bool
}

// newCheckedBody opens content whose digest should be want and fills the buffer,
// so that what is wrong at the start is found before anything is sent. The end
// of ctx closes it: net/http, when a request is cancelled, waits for its reader
// first.
func newCheckedBody(ctx context.Context, b Body, want digest.Digest) (*checkedBody, error) {
	if err := want.Validate(); err != nil {
		return nil, fmt.Errorf("%w: digest %q: %w", ErrContent, want, err)
	}
	src, err := b.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: open: %w", ErrContent, err)
	}
	// Small content need not have all of the buffer: one byte more shows its end.
	c := &checkedBody{want: want, size: b.Size, src: src, hash: want.Algorithm().Hash(), buf: make([]byte, min(readBuffer, max(0, b.Size)+holdBack+1))}
	c.mu.Lock()
	c.stop = context.AfterFunc(ctx, func() { c.Close() })
	c.mu.Unlock()
	c.fill(len(c.buf))
	if c.wrong == nil {
		return c, nil
	}
	c.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, c.wrong
}

// Read hands out content that is at least holdBack bytes away from its end, or
// checked to the end.
func (c *checkedBody) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if !c.isClosed() {
		c.fill(holdBack + 1)
	}
	ready := c.buf[c.lo:c.hi]
	if !c.atEnd {
		ready = ready[:max(0, len(ready)-holdBack)]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, io.ErrClosedPipe
	case c.wrong != nil:
		c.err = c.wrong
		return 0, c.err
	case len(ready) == 0:
		return 0, io.EOF
	}
	n := copy(p, ready)
	c.lo += n
	c.sent += int64(n)
	return n, nil
}

// skip reads over the first n bytes, so that they count for the digest and are
// not sent.
func (c *checkedBody) skip(n int64) error {
	_, err := io.CopyN(io.Discard, c, n)
	if _, bad := c.result(); bad != nil {
		return bad
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = 0
	return err
}

// fill reads from the source until there are enough bytes in the buffer, or the
// end is reached and checked, or something is wrong. The caller holds reading,
// or nobody else knows c yet.
func (c *checkedBody) fill(enough int) {
	for idle := 0; c.wrong == nil && !c.atEnd && c.hi-c.lo < enough; {
		if c.lo > 0 {
			c.hi = copy(c.buf, c.buf[c.lo:c.hi])
			c.lo = 0
		}
		got, err := c.src.Read(c.buf[c.hi:])
		c.hash.Write(c.buf[c.hi : c.hi+got])
		c.hi += got
		c.read += int64(got)
		if idle++; got > 0 {
			idle = 0
		}
		switch {
		case c.read > c.size:
			c.wrong = fmt.Errorf("%w: more than the %d bytes of %s", ErrContent, c.size, c.want)
		case err == io.EOF:
			c.atEnd = true
			c.wrong = c.check()
		case err == nil && idle == maxIdle:
			err = io.ErrNoProgress
			fallthrough
		case err != nil:
			c.wrong = fmt.Errorf("%w: read: %w", ErrContent, err)
		}
	}
}

// check compares the size and the digest of all content with what they should be.
func (c *checkedBody) check() error {
	if c.read != c.size {
		return fmt.Errorf("%w: %d bytes of the %d of %s", ErrContent, c.read, c.size, c.want)
	}
	if got := digest.NewDigest(c.want.Algorithm(), c.hash); got != c.want {
		return fmt.Errorf("%w: it is %s, not %s", ErrContent, got, c.want)
	}
	return nil
}

func (c *checkedBody) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close closes the source, also while it is read. It may be called more than once.
func (c *checkedBody) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	stop := c.stop
	c.mu.Unlock()
	if was {
		return nil
	}
	stop()
	return c.src.Close()
}

// result returns how many bytes were handed out, and what was wrong with the
// content.
func (c *checkedBody) result() (sent int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.err
}
