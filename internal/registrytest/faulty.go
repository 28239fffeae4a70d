package registrytest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// serveFault lets the fault happen to the request.
func (c *call) serveFault(f Fault) {
	if f.Do != Stall && !wait(c.r.Context(), f.Delay) {
		abort()
	}
	switch f.Do {
	case Refuse:
		abort()
	case ResetBefore:
		c.drain()
		abort()
	case ResetAfter:
		c.capture()
		abort()
	case Stall:
		c.stall(f)
	case CutBody:
		c.r.Body = &cutReader{r: c.r.Body, left: half(c.r.ContentLength)}
		c.capture()
		abort()
	case CutReply:
		c.cutReply()
	case NotHTTP:
		c.notHTTP()
	case WrongDigest:
		c.wrongDigest()
	case SessionGone:
		c.sessionGone()
	case RangeInvalid:
		c.rangeInvalid()
	case Duplicate:
		c.duplicate()
	default:
		c.failed(f)
	}
}

// stall does nothing for a while.
func (c *call) stall(f Fault) {
	body := c.hold()
	if f.Delay <= 0 {
		<-c.r.Context().Done()
		abort()
	}
	if !wait(c.r.Context(), f.Delay) {
		abort()
	}
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	c.serve()
}

// hold receives the body into memory, so that it can be read again.
func (c *call) hold() []byte {
	var body bytes.Buffer
	if c.receive(&body) != nil {
		abort()
	}
	c.again = true
	return body.Bytes()
}

// failed answers with a status.
func (c *call) failed(f Fault) {
	c.drain()
	if f.RetryAfter != "" {
		c.w.Header().Set("Retry-After", f.RetryAfter)
	}
	status := int(f.Do)
	if !f.Do.isFaultStatus() {
		status = http.StatusInternalServerError
	}
	switch {
	case status == http.StatusUnauthorized: // as when a token expires on the way
		c.challenge("invalid_token")
		c.failWith(status, wire.CodeUnauthorized, "the request was refused")
		return
	case status < http.StatusInternalServerError:
		c.failStatus(status, "the request was refused")
		return
	}
	c.w.Header().Set("Content-Type", "text/html")
	c.write(status, []byte("<html><body><h1>"+strconv.Itoa(status)+" "+http.StatusText(status)+"</h1></body></html>\n"))
}

// sessionGone drops the session without a word to its client.
func (c *call) sessionGone() {
	if s := c.acquire(); s != nil {
		c.endSession(s, sessionLost)
		defer c.release()
	}
	c.drain()
	c.failWith(http.StatusNotFound, wire.CodeBlobUploadUnknown, "blob upload unknown to registry")
}

// rangeInvalid answers as if the chunk were out of order.
func (c *call) rangeInvalid() {
	c.drain()
	if s := c.acquire(); s != nil {
		defer c.release()
		c.locate(s)
		c.w.Header().Set("Range", c.rangeOf(s))
	}
	c.failWith(http.StatusRequestedRangeNotSatisfiable, wire.CodeRangeInvalid, "the chunk is out of order")
}

// captured is a reply that was written but not sent.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the headers of the reply.
func (w *captured) Header() http.Header { return w.header }

// WriteHeader keeps the status.
func (w *captured) WriteHeader(status int) { w.status = status }

// Write keeps the body.
func (w *captured) Write(p []byte) (int, error) { return w.body.Write(p) }

// capture handles the request and keeps the reply. It gives nil when the connection was to be broken.
func (c *call) capture() (reply *captured) {
	reply = &captured{header: http.Header{}}
	real := c.w
	c.w = &recorder{ResponseWriter: reply, call: c}
	defer func() {
		c.w = real
		if cause := recover(); cause != nil {
			if err, ok := cause.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			reply = nil
		}
	}()
	c.serve()
	return reply
}

// send sends a captured reply, half of its body when cut.
func (c *call) send(reply *captured, cut bool) {
	header := c.w.ResponseWriter.Header()
	for key, values := range reply.header {
		header[key] = values
	}
	c.w.ResponseWriter.WriteHeader(reply.status)
	body := reply.body.Bytes()
	if cut {
		body = body[:len(body)/2]
	}
	// A client that is gone is no concern of the registry.
	_, _ = c.w.ResponseWriter.Write(body)
}

// cutReply sends half of the reply.
func (c *call) cutReply() {
	reply := c.capture()
	if reply != nil && reply.body.Len() > 1 {
		c.send(reply, true)
		// Without a flush net/http would throw away what is buffered.
		_ = http.NewResponseController(c.w.ResponseWriter).Flush()
	}
	abort()
}

// wrongDigest changes the digest and the content of the reply.
func (c *call) wrongDigest() {
	reply := c.capture()
	if reply == nil {
		abort()
	}
	d := digest.Digest(reply.header.Get("Docker-Content-Digest"))
	if d.Validate() != nil {
		d = digest.FromString("nothing")
	}
	reply.header.Set("Docker-Content-Digest", otherDigest(d).String())
	if body := reply.body.Bytes(); len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	c.send(reply, false)
}

// duplicate handles the request twice.
func (c *call) duplicate() {
	body := c.hold()
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	c.capture()
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	reply := c.capture()
	if reply == nil {
		abort()
	}
	c.send(reply, false)
}

// malformer is a response writer that can give its client an answer that is no HTTP: the one of
// Registry.Client.
type malformer interface {
	malform()
}

// notHTTP answers with bytes that are no HTTP.
func (c *call) notHTTP() {
	c.drain()
	if m, ok := c.w.ResponseWriter.(malformer); ok {
		m.malform()
		return
	}
	conn, _, err := http.NewResponseController(c.w.ResponseWriter).Hijack()
	if err != nil {
		abort()
	}
	// Both fail only when the client is gone.
	_, _ = conn.Write([]byte("SSH-2.0-registrytest\r\n\r\n"))
	_ = conn.Close()
}

// cutReader breaks off after left bytes.
type cutReader struct {
	r    io.ReadCloser
	left int64
}

// Read reads up to the cut.
func (t *cutReader) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := t.r.Read(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	return n, err
}

// Close closes the body.
func (t *cutReader) Close() error { return t.r.Close() }

// half is where a body of the length is cut.
func half(length int64) int64 {
	if length < 0 {
		return pieceSize
	}
	return length / 2
}
