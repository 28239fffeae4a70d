package transport

import (
	"context"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// Session is an open upload (spec end-5, end-6, end-13, end-14). It belongs to
// one blob and is used by one goroutine at a time. An upload that succeeds ends
// it; after one that broke off, Resume may go on with it.
type Session struct {
	repository *Repository
	url        *url.URL
	least      int64 // OCI-Chunk-Min-Length: the least size of a chunk but for the last
}

// Put sends the content in one request that closes the session (spec end-6).
func (s *Session) Put(ctx context.Context, d digest.Digest, body Body) Answer {
	return s.send(ctx, call{
		op: "upload blob", method: http.MethodPut, url: wire.WithDigest(s.url, d), digest: d,
		header: octets(), body: &body, blob: max(body.Size, 1),
	})
}

// Stream sends the content in one PATCH and closes the session with an empty
// PUT (spec end-5, end-6): for hosts that limit the size of a PUT.
func (s *Session) Stream(ctx context.Context, d digest.Digest, body Body) Answer {
	a := s.send(ctx, call{
		op: "upload blob", method: http.MethodPatch, url: s.url, digest: d, header: octets(), body: &body,
	})
	switch a.Status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
	default:
		return a
	}
	if err := s.follow(a); err != nil {
		a.Status, a.Err = 0, err
		return a
	}
	return s.close(ctx, d, body.Size).after(a)
}

// Chunks sends the content in PATCHes of size bytes each, in order, and closes
// the session with an empty PUT (spec end-5, end-6): for hosts that limit the
// size of any body. Chunks are never smaller than the host's
// OCI-Chunk-Min-Length.
func (s *Session) Chunks(ctx context.Context, d digest.Digest, body Body, size int64) Answer {
	content := &stream{digest: d, body: body}
	defer content.close()
	if err := content.open(ctx, 0); err != nil {
		return s.repository.answer(call{op: "upload blob", digest: d}).unsent(&sending{}, err)
	}
	return s.parts(ctx, content, 0, size)
}

// Resume asks the session where it stands (spec end-13) and sends the rest: in
// chunks of size bytes, or in one PATCH if size is 0. If the session is gone or
// says nothing, that is the answer, and nothing was sent.
func (s *Session) Resume(ctx context.Context, d digest.Digest, body Body, size int64) Answer {
	a := s.repository.do(ctx, call{
		op: "ask upload", method: http.MethodGet, url: s.url, digest: d,
		must: auth.Push(s.repository.path()), patience: whenUnheard,
	})
	if !a.OK() {
		return a
	}
	offset, ok := wire.ParseRange(a.header.Get("Range"))
	if err := s.follow(a); err != nil || !ok || offset > body.Size {
		a.Status = http.StatusRequestedRangeNotSatisfiable
		return a
	}
	content := &stream{digest: d, body: body}
	defer content.close()
	if err := content.open(ctx, offset); err != nil {
		a.Status = 0
		return a.unsent(&sending{}, err)
	}
	if size <= 0 {
		size = body.Size - offset
	}
	sent := s.parts(ctx, content, offset, size).after(a)
	sent.Offset = offset
	return sent
}

// parts sends open content from offset on in PATCHes of the given size, and
// closes the session.
func (s *Session) parts(ctx context.Context, content *stream, offset, size int64) Answer {
	var sum Answer
	size = max(size, s.least, 1)
	for offset < content.body.Size {
		n := min(size, content.body.Size-offset)
		take := func() (*checkedBody, error) { return content.take(ctx, offset) }
		header := octets()
		header.Set("Content-Range", wire.FormatContentRange(offset, offset+n-1))
		a := s.send(ctx, call{
			op: "upload blob", method: http.MethodPatch, url: s.url, digest: content.digest, header: header, part: &part{take, n},
		}).after(sum)
		if !a.OK() {
			return a
		}
		if err := s.follow(a); err != nil {
			a.Status, a.Err = 0, err
			return a
		}
		offset += n
		sum = a
	}
	return s.close(ctx, content.digest, content.body.Size).after(sum)
}

// close ends the session, of a blob of the given size, with an empty PUT.
func (s *Session) close(ctx context.Context, d digest.Digest, size int64) Answer {
	return s.send(ctx, call{
		op: "close upload", method: http.MethodPut, url: wire.WithDigest(s.url, d), digest: d, header: octets(), blob: max(size, 1),
	})
}

// follow goes on at the Location of an answer, if it has one.
func (s *Session) follow(a Answer) error {
	if a.header.Get("Location") == "" {
		return nil
	}
	next, err := s.repository.location(a)
	if err == nil {
		s.url = next
	}
	return err
}

// after adds what an earlier answer took.
func (a Answer) after(earlier Answer) Answer {
	a.Sent += earlier.Sent
	a.Requests += earlier.Requests
	return a
}

// Cancel gives the session up (spec end-14). Many registries do not let a
// client do so; what they answer makes no difference to a push.
func (s *Session) Cancel(ctx context.Context) Answer {
	return s.send(ctx, call{op: "cancel upload", method: http.MethodDelete, url: s.url, final: true})
}

// send makes a request to the session.
func (s *Session) send(ctx context.Context, c call) Answer {
	c.must, c.patience = auth.Push(s.repository.path()), whenLimited
	a := s.repository.do(ctx, c)
	a.Corrupt = a.Has(wire.CodeDigestInvalid)
	return a
}

// maxChunk is the largest OCI-Chunk-Min-Length that is heeded, in bytes.
const maxChunk = 1 << 30

func octets() http.Header { return http.Header{"Content-Type": {"application/octet-stream"}} }
