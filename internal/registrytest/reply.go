package registrytest

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// recorder writes a reply and keeps the request's entry up to date. What it sends is in the log before
// the client can see it.
type recorder struct {
	http.ResponseWriter
	call  *call
	wrote bool
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader ends the request's hold on its session, logs the status and sends it.
func (w *recorder) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.call.release()
		w.call.reg.mu.Lock()
		w.call.entry.Status = status
		w.call.reg.mu.Unlock()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write logs the bytes and sends them.
func (w *recorder) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	w.call.reg.mu.Lock()
	w.call.entry.Replied += int64(len(p))
	w.call.reg.mu.Unlock()
	return w.ResponseWriter.Write(p)
}

// reply sends a reply without a body.
func (c *call) reply(status int) {
	c.common()
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
}

// write sends a reply with a body; the Content-Type is set already. A HEAD gets the headers alone.
func (c *call) write(status int, body []byte) {
	c.common()
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		return
	}
	// A client that is gone is no concern of the registry.
	_, _ = c.w.Write(body)
}

// common sets the headers of every reply.
func (c *call) common() {
	h := c.w.Header()
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	if !c.b.NoGrease {
		h.Set("X-Grease-"+strconv.Itoa(c.entry.Seq%7), "unknown; headers=\"are ignored\"")
	}
}

// json sends a value as the body, greased.
func (c *call) json(status int, contentType string, value map[string]any) {
	c.grease(value)
	body, err := json.Marshal(value)
	if err != nil {
		// Only strings, numbers, maps and slices come here.
		panic("registrytest: " + err.Error())
	}
	c.w.Header().Set("Content-Type", contentType)
	c.write(status, body)
}

// grease adds a field that no specification knows.
func (c *call) grease(object map[string]any) {
	if !c.b.NoGrease {
		object["x-grease-"+strconv.Itoa(c.entry.Seq%7)] = map[string]any{"unknown": []int{c.entry.Seq}}
	}
}

// fail sends errors in the form that the behaviour asks for.
func (c *call) fail(status int, errs ...wire.Error) {
	var body struct {
		Errors []map[string]any `json:"errors"`
	}
	if err := json.Unmarshal(wire.FormatErrors(errs...), &body); err != nil {
		// FormatErrors writes JSON.
		panic("registrytest: " + err.Error())
	}
	for _, e := range body.Errors {
		c.grease(e)
	}
	contentType := "application/json"
	if c.b.ErrorsPlainText {
		contentType = "text/plain; charset=utf-8"
	}
	if c.b.ErrorsBare && len(body.Errors) > 0 {
		c.json(status, contentType, body.Errors[0])
		return
	}
	c.json(status, contentType, map[string]any{"errors": body.Errors})
}

// failWith sends one error without a detail.
func (c *call) failWith(status int, code wire.Code, message string) {
	c.fail(status, wire.Error{Code: code, Message: message})
}

// codeFor is the error code that goes with a status, where a test asks for the status only.
func codeFor(status int) wire.Code {
	switch status {
	case http.StatusUnauthorized:
		return wire.CodeUnauthorized
	case http.StatusForbidden:
		return wire.CodeDenied
	case http.StatusNotFound:
		return wire.CodeNameUnknown
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return wire.CodeUnsupported
	case http.StatusTooManyRequests:
		return wire.CodeTooManyRequests
	}
	return wire.CodeUnknown
}

// failStatus sends the error that goes with a status, with a challenge when it is 401.
func (c *call) failStatus(status int, message string) {
	if status == http.StatusUnauthorized {
		c.challenge("insufficient_scope")
	}
	c.failWith(status, codeFor(status), message)
}

// setDigest sets Docker-Content-Digest.
func (c *call) setDigest(d digest.Digest) {
	c.w.Header().Set("Docker-Content-Digest", d.String())
}

// otherDigest is a digest of the same algorithm that is certainly not d.
func otherDigest(d digest.Digest) digest.Digest {
	return d.Algorithm().FromString("something else than " + d.String())
}
