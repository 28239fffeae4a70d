package registrytest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/crossmount/crossmount/internal/wire"
)

// call is one request on its way through the registry.
type call struct {
	reg   *Registry
	b     Behaviour // as it was when the request came
	w     *recorder
	r     *http.Request
	req   wire.Request
	bad   *wire.ParseError // the request is none of the API
	entry *Entry
	sess  *session // held by this request, nil when none
	cut   bool     // the body broke off
	again bool     // the body was received before and is read from memory now
}

// ServeHTTP answers one request of the distribution API. It breaks the connection, where it should, by
// panicking with http.ErrAbortHandler, as net/http provides.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	parsed, err := wire.Parse(req.Method, req.URL)
	entry, b := r.begin(req, parsed)
	c := &call{reg: r, b: b, r: req, req: parsed, entry: entry}
	if !errors.As(err, &c.bad) && err != nil {
		c.bad = &wire.ParseError{Method: req.Method, Path: req.URL.Path, Code: wire.CodeUnsupported, Status: http.StatusNotFound}
	}
	c.w = &recorder{ResponseWriter: w, call: c}
	if !wait(req.Context(), b.Latency) {
		abort()
	}
	// The handler may have read nothing of the body; net/http takes care of the rest.
	if f := r.fault(entry); f != nil {
		c.serveFault(*f)
		return
	}
	c.serve()
}

// serve answers the request for real.
func (c *call) serve() {
	defer c.release()
	for _, gate := range []func() bool{c.refuseRate, c.redirect, c.refuseAbsent, c.refuseUnauthorized, c.refuseLarge} {
		if gate() {
			return
		}
	}
	c.inspect()
	if c.bad != nil {
		c.fail(c.bad.Status, wire.Error{Code: c.bad.Code, Message: "the request is not one of the API"})
		return
	}
	c.dispatch()
}

func (c *call) dispatch() {
	switch c.req.Kind {
	case wire.Ping:
		c.json(http.StatusOK, "application/json", map[string]any{})
	case wire.BlobGet, wire.BlobHead:
		c.getBlob()
	case wire.BlobDelete:
		c.deleteBlob()
	case wire.ManifestGet, wire.ManifestHead:
		c.getManifest()
	case wire.ManifestPut:
		c.putManifest()
	case wire.ManifestDelete:
		c.deleteManifest()
	case wire.UploadStart:
		c.startUpload()
	case wire.UploadSingle:
		c.singleUpload()
	case wire.Mount:
		c.mount()
	case wire.UploadChunk:
		c.withSession(c.patch)
	case wire.UploadFinish:
		c.withSession(c.finish)
	case wire.UploadStatus:
		c.withSession(c.status)
	case wire.UploadCancel:
		c.withSession(c.cancel)
	case wire.TagList:
		c.listTags()
	case wire.Referrers:
		c.listReferrers()
	}
}

// refuseRate answers the first requests as RateLimit says.
func (c *call) refuseRate() bool {
	limit := c.b.RateLimit
	c.reg.mu.Lock()
	refuse := c.reg.limited < limit.First
	if refuse {
		c.reg.limited++
	}
	c.reg.mu.Unlock()
	if !refuse {
		return false
	}
	if limit.RetryAfter != "" {
		c.w.Header().Set("Retry-After", limit.RetryAfter)
	}
	status, code := or(limit.Status, http.StatusTooManyRequests), wire.CodeTooManyRequests
	message := limit.Message
	if status == http.StatusForbidden {
		code = wire.CodeDenied
		if message == "" {
			message = "permission_denied: You have exceeded a secondary rate limit"
		}
	}
	if message == "" {
		message = "too many requests"
	}
	c.drain()
	c.fail(status, wire.Error{Code: code, Message: message})
	return true
}

// redirect sends uploads to another host.
func (c *call) redirect() bool {
	switch {
	case c.b.RedirectUploads == "":
		return false
	case c.r.Method == http.MethodPost, c.r.Method == http.MethodPut, c.r.Method == http.MethodPatch:
		c.drain()
		c.w.Header().Set("Location", strings.TrimSuffix(c.b.RedirectUploads, "/")+c.r.URL.RequestURI())
		c.reply(http.StatusTemporaryRedirect)
		return true
	}
	return false
}

// refuseAbsent breaks the connection when the repository does not exist and the registry never makes one.
func (c *call) refuseAbsent() bool {
	if !c.b.RepoAbsentReset || c.req.Repository == "" {
		return false
	}
	c.reg.mu.Lock()
	_, ok := c.reg.repos[c.req.Repository]
	c.reg.mu.Unlock()
	if !ok {
		abort()
	}
	return false
}

// refuseLarge answers 413 to bodies beyond BodyLimit.
func (c *call) refuseLarge() bool {
	if c.b.BodyLimit == 0 || c.r.ContentLength <= c.b.BodyLimit {
		return false
	}
	c.drain()
	c.w.Header().Set("Content-Type", "text/html")
	c.write(http.StatusRequestEntityTooLarge, []byte("<html><head><title>413 Request Entity Too Large</title></head></html>\n"))
	return true
}

// wait pauses for d. It gives false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// abort breaks the connection.
func abort() {
	panic(http.ErrAbortHandler)
}
