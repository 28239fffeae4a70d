package registrytest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

var (
	errCut  = errors.New("registrytest: the body broke off")
	errLong = errors.New("registrytest: the body is longer than its Content-Length")
)

// pieceSize is how much of a body is read at a time.
const pieceSize = 32 << 10

// receive copies the request's body to dst, at the speed of the link, and counts it. The error is errCut
// or errLong.
func (c *call) receive(dst io.Writer) error {
	if c.r.Body == nil {
		return nil
	}
	buf := make([]byte, pieceSize)
	var got int64
	for {
		n, err := c.r.Body.Read(buf)
		got += int64(n)
		if n > 0 && !c.arrived(n) {
			err = errCut
		}
		if long := got - c.r.ContentLength; c.r.ContentLength >= 0 && long > 0 {
			c.violate("the body is longer than its Content-Length of %d", c.r.ContentLength)
			return errLong
		}
		// Writers here are memory and cannot fail.
		_, _ = dst.Write(buf[:n])
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && got >= c.r.ContentLength:
			return nil
		default:
			c.cut = true
			return errCut
		}
	}
}

// arrived counts n bytes of the body and waits until the link has carried them. It gives false when the
// client went away meanwhile.
func (c *call) arrived(n int) bool {
	if c.again {
		return c.r.Context().Err() == nil
	}
	c.reg.mu.Lock()
	c.entry.Sent += int64(n)
	switch c.req.Kind {
	case wire.UploadChunk, wire.UploadFinish, wire.UploadSingle:
		c.reg.counts.Bytes += int64(n)
	}
	var pause time.Duration
	if c.b.BytesPerSecond > 0 {
		now := time.Now()
		if c.reg.free.Before(now) {
			c.reg.free = now
		}
		c.reg.free = c.reg.free.Add(time.Duration(n) * time.Second / time.Duration(c.b.BytesPerSecond))
		pause = c.reg.free.Sub(now)
	}
	c.reg.mu.Unlock()
	return wait(c.r.Context(), pause)
}

// drain reads the body and forgets it, so that the client can finish sending before it reads the reply.
// A client that waits for "100 Continue" is not made to send.
func (c *call) drain() {
	if c.r.Header.Get("Expect") == "" && c.receive(io.Discard) != nil {
		c.cut = true
	}
}

// readBody reads a whole body, at most limit bytes when limit is not 0. ok is false when it has been
// answered already, or broke off.
func (c *call) readBody(limit int64) (body []byte, ok bool) {
	var buf bytes.Buffer
	switch err := c.receive(&buf); {
	case errors.Is(err, errCut):
		abort()
	case err != nil:
		c.failWith(400, wire.CodeSizeInvalid, err.Error())
		return nil, false
	}
	if limit > 0 && int64(buf.Len()) > limit {
		c.failWith(413, wire.CodeManifestInvalid, "the manifest is too large")
		return nil, false
	}
	return buf.Bytes(), true
}

// content takes in the bytes of an upload. It hashes them as they come and keeps them up to limit bytes.
type content struct {
	limit int64 // 0 keeps all
	size  int64
	data  []byte
	sum   hash.Hash
	over  bool // more came than limit; data is gone
}

func newContent(limit int64) *content {
	return &content{limit: limit, sum: sha256.New()}
}

// Write takes in more bytes.
func (t *content) Write(p []byte) (int, error) {
	t.sum.Write(p)
	t.size += int64(len(p))
	if t.limit > 0 && t.size > t.limit {
		t.over, t.data = true, nil
		return len(p), nil
	}
	t.data = append(t.data, p...)
	return len(p), nil
}

// is reports whether the content has the digest. Of content that was not kept, only SHA-256 is known.
func (t *content) is(d digest.Digest) bool {
	if d.Algorithm() == digest.SHA256 {
		return digest.NewDigest(digest.SHA256, t.sum) == d
	}
	return !t.over && d.Algorithm().FromBytes(t.data) == d
}

// blob makes the content a blob. The content must not be written to any more.
func (t *content) blob() *blob {
	return &blob{data: t.data, size: t.size, discarded: t.over}
}
