package transport

import (
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
	// Open returns the content from its first byte.
	Open func() (io.ReadCloser, error)
}

// holdBack is how many of the last bytes wait for the digest of the whole
// content: while they are missing, no registry can take the blob for complete.
const holdBack = 512

// readBuffer is how much content of one blob is in memory.
const readBuffer = 64 << 10

// checkedBody reads content and checks it on the way. The last bytes come out
// only once the size and the digest of all are right, so that content which is
// not what it should be never arrives whole.
type checkedBody struct {
	want digest.Digest
	size int64

	// mu guards the fields below: net/http may still read a body, in a
	// goroutine of its own, when the answer is there already.
	mu     sync.Mutex
	src    io.ReadCloser
	hash   hash.Hash
	buf    []byte // read and hashed from lo to hi, not yet handed out
	lo, hi int
	read   int64
	sent   int64
	err    error // why the content is of no use
	atEnd  bool
	closed bool
}

// newCheckedBody opens content whose digest should be want and fills the buffer,
// so that what is wrong at the start is found before anything is sent.
func newCheckedBody(b Body, want digest.Digest) (*checkedBody, error) {
	if !want.Algorithm().Available() {
		return nil, fmt.Errorf("%w: digest algorithm %q is not supported", ErrContent, want.Algorithm())
	}
	src, err := b.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: open: %w", ErrContent, err)
	}
	c := &checkedBody{want: want, size: b.Size, src: src, hash: want.Algorithm().Hash(), buf: make([]byte, readBuffer)}
	for c.err == nil && !c.atEnd && c.hi < len(c.buf) {
		c.fill()
	}
	if c.err != nil {
		c.Close()
		return nil, c.err
	}
	return c, nil
}

// Read hands out content that is at least holdBack bytes away from its end, or
// checked to the end.
func (c *checkedBody) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	for c.err == nil && !c.atEnd && c.hi-c.lo <= holdBack {
		c.fill()
	}
	if c.err != nil {
		return 0, c.err
	}
	ready := c.buf[c.lo:c.hi]
	if !c.atEnd {
		ready = ready[:len(ready)-holdBack]
	}
	if len(ready) == 0 {
		return 0, io.EOF
	}
	n := copy(p, ready)
	c.lo += n
	c.sent += int64(n)
	return n, nil
}

// fill reads more bytes from the source and checks the end.
func (c *checkedBody) fill() {
	c.hi = copy(c.buf, c.buf[c.lo:c.hi])
	c.lo = 0
	got, err := c.src.Read(c.buf[c.hi:])
	c.hash.Write(c.buf[c.hi : c.hi+got])
	c.hi += got
	c.read += int64(got)
	switch {
	case c.read > c.size:
		c.err = fmt.Errorf("%w: more than the %d bytes of %s", ErrContent, c.size, c.want)
	case err == io.EOF:
		c.atEnd = true
		c.check()
	case err != nil:
		c.err = fmt.Errorf("%w: read: %w", ErrContent, err)
	}
}

// check compares the size and the digest of all content with what they should be.
func (c *checkedBody) check() {
	if c.read != c.size {
		c.err = fmt.Errorf("%w: %d bytes of the %d of %s", ErrContent, c.read, c.size, c.want)
		return
	}
	if got := digest.NewDigest(c.want.Algorithm(), c.hash); got != c.want {
		c.err = fmt.Errorf("%w: it is %s, not %s", ErrContent, got, c.want)
	}
}

// Close closes the source. It may be called more than once.
func (c *checkedBody) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return c.src.Close()
}

// result returns how many bytes were handed out, and what was wrong with the
// content.
func (c *checkedBody) result() (sent int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.err
}
