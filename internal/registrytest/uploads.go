package registrytest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

const octetStream = "application/octet-stream"

// startUpload opens a session.
func (c *call) startUpload() {
	c.drain()
	c.accepted(c.open("", ""))
}

// singleUpload takes a blob in one POST, or does not.
func (c *call) singleUpload() {
	switch {
	case c.b.SinglePost == SinglePostIgnored:
		c.drain()
		c.account(c.req.Digest, c.entry.Sent, c.entry.Fault != 0)
		c.accepted(c.open("", ""))
		return
	case c.b.SinglePost != SinglePostOctetStream:
	case mediaType(c.r.Header) != octetStream:
		c.drain()
		c.failWith(http.StatusUnsupportedMediaType, wire.CodeUnsupported, "the Content-Type must be "+octetStream)
		return
	case c.r.ContentLength < 0:
		c.drain()
		c.failWith(http.StatusBadRequest, wire.CodeSizeInvalid, "Content-Length is missing")
		return
	}
	body := newContent(c.b.DiscardAbove)
	if !c.take(body) {
		return
	}
	if !body.is(c.req.Digest) {
		c.failWith(http.StatusBadRequest, wire.CodeDigestInvalid, "provided digest did not match uploaded content")
		return
	}
	c.account(c.req.Digest, body.size, c.entry.Fault != 0)
	c.store(body)
	c.created(http.StatusCreated)
}

// patch appends a chunk, or a whole stream, to the session.
func (c *call) patch(s *session) {
	if c.b.LaterPatch == LaterPatchRefused && s.bodies > 0 {
		c.drain()
		c.failWith(http.StatusBadRequest, wire.CodeBlobUploadInvalid, "stream uploads after first write are not allowed")
		return
	}
	if c.refusePatchSize(s) || c.refuseRange(s) || c.refuseShort(s) {
		return
	}
	var dst io.Writer = s.content
	if c.b.LaterPatch == LaterPatchDropped && s.bodies > 0 {
		dst = io.Discard
	}
	if !c.take(dst) {
		return
	}
	s.bodies++
	s.state++
	s.short = c.entry.Sent < c.b.ChunkMin
	if !c.b.PatchWithoutLocation {
		c.locate(s)
	}
	c.w.Header().Set("Range", c.rangeOf(s))
	c.w.Header().Set("Docker-Upload-Uuid", s.id)
	c.reply(or(c.b.PatchStatus, http.StatusAccepted))
}

// finish takes the rest of the blob and closes the session.
func (c *call) finish(s *session) {
	d := c.req.Digest
	switch {
	case c.b.PutChunkedRefused && c.r.ContentLength < 0:
		c.drain()
		c.failWith(http.StatusBadRequest, wire.CodeDigestInvalid, "Content-Length is missing")
		return
	case c.b.PutLimit > 0 && c.r.ContentLength > c.b.PutLimit:
		c.drain()
		c.failWith(http.StatusRequestEntityTooLarge, wire.CodeSizeInvalid, "the body of a PUT is too large")
		return
	case c.b.SessionBoundToDigest && s.mount != "" && s.mount != d:
		c.drain()
		c.failWith(http.StatusInternalServerError, wire.CodeUnknown, "the session is for another digest")
		return
	}
	if c.refuseRange(s) || c.refuseShort(s) || !c.take(s.content) {
		return
	}
	if !s.content.is(d) {
		c.endSession(s, sessionLost)
		c.failWith(http.StatusBadRequest, wire.CodeDigestInvalid, "provided digest did not match uploaded content")
		return
	}
	c.account(d, s.content.size, s.faulted)
	c.store(s.content)
	s.content = newContent(0)
	c.endSession(s, sessionFinished)
	c.created(or(c.b.PutStatus, http.StatusCreated))
}

// take reads the body into dst. It gives false when the body was not taken, and has answered then.
func (c *call) take(dst io.Writer) bool {
	switch err := c.receive(dst); {
	case errors.Is(err, errCut):
		abort()
	case err != nil:
		c.failWith(http.StatusBadRequest, wire.CodeSizeInvalid, err.Error())
		return false
	}
	return true
}

// status says how much of the upload stands.
func (c *call) status(s *session) {
	if status := or(c.b.StatusSession, http.StatusNoContent); status != http.StatusNoContent {
		c.failSession(status)
		return
	}
	c.locate(s)
	c.w.Header().Set("Range", c.rangeOf(s))
	c.w.Header().Set("Docker-Upload-Uuid", s.id)
	c.reply(http.StatusNoContent)
}

// cancel drops the upload.
func (c *call) cancel(s *session) {
	c.drain()
	if status := or(c.b.DeleteSession, http.StatusNoContent); status != http.StatusNoContent {
		c.failSession(status)
		return
	}
	c.endSession(s, sessionCancelled)
	c.reply(http.StatusNoContent)
}

// failSession answers with a status that stands for "this registry does not do that to sessions".
func (c *call) failSession(status int) {
	if status == http.StatusNotFound {
		c.failWith(status, wire.CodeBlobUploadUnknown, "blob upload unknown to registry")
		return
	}
	c.failStatus(status, "not for upload sessions")
}

// refusePatchSize answers 416 to a ranged PATCH beyond PatchLimit.
func (c *call) refusePatchSize(s *session) bool {
	if c.b.PatchLimit == 0 || c.r.ContentLength <= c.b.PatchLimit || c.r.Header.Get("Content-Range") == "" {
		return false
	}
	c.drain()
	c.locate(s)
	c.failWith(http.StatusRequestedRangeNotSatisfiable, wire.CodeBlobUploadInvalid,
		fmt.Sprintf("the chunk exceeds the maximum permissible limit of %.2fMiB", float64(c.b.PatchLimit)/(1<<20)))
	return true
}

// refuseRange answers 416 to a Content-Range that does not go on where the upload stands, and 400 to one
// that does not agree with the Content-Length.
func (c *call) refuseRange(s *session) bool {
	header := c.r.Header.Get("Content-Range")
	if header == "" || c.b.RangeIgnored {
		return false
	}
	start, end, ok := parseContentRange(header)
	if ok && start == s.content.size && (c.r.ContentLength < 0 || c.r.ContentLength == end-start+1) {
		return false
	}
	c.drain()
	if ok && start == s.content.size {
		c.failWith(http.StatusBadRequest, wire.CodeSizeInvalid, "Content-Range and Content-Length differ")
		return true
	}
	c.locate(s)
	c.w.Header().Set("Range", c.rangeOf(s))
	c.failWith(http.StatusRequestedRangeNotSatisfiable, wire.CodeRangeInvalid, "the chunk is out of order")
	return true
}

// refuseShort answers 400 to a body after a chunk that was too short to have one after it.
func (c *call) refuseShort(s *session) bool {
	if !s.short || c.r.ContentLength == 0 {
		return false
	}
	c.violate("a chunk below OCI-Chunk-Min-Length was not the last")
	c.drain()
	c.failWith(http.StatusBadRequest, wire.CodeBlobUploadInvalid, "only the last chunk may be below the minimum length")
	return true
}

// parseContentRange reads the form of the specification, "0-4999".
func parseContentRange(header string) (start, end int64, ok bool) {
	first, last, ok := strings.Cut(header, "-")
	if !ok {
		return 0, 0, false
	}
	start, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	return start, end, err1 == nil && err2 == nil && start >= 0 && end >= start
}

// account notes that a blob came in full, in size bytes, and whether those bytes had come before.
func (c *call) account(d digest.Digest, size int64, faulted bool) {
	if faulted || c.cut {
		return
	}
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	repo := c.reg.repository(c.req.Repository)
	if repo.received[d] {
		c.reg.counts.BytesTwice += size
	}
	repo.received[d] = true
}

// store puts an upload into the repository.
func (c *call) store(body *content) {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	repo := c.reg.repository(c.req.Repository)
	repo.blobs[c.req.Digest] = body.blob()
	repo.uploads++
}

// created says that the repository now holds the blob of the request.
func (c *call) created(status int) {
	if !c.b.CreatedWithoutLocation {
		c.w.Header().Set("Location", "/v2/"+c.req.Repository+"/blobs/"+c.req.Digest.String())
	}
	c.setDigest(c.req.Digest)
	c.reply(status)
}

// mediaType is the media type of a Content-Type header without its parameters.
func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}
