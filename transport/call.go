package transport

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// call is one request before it is sent. It can be sent again: content is
// opened anew each time.
type call struct {
	op      string
	request wire.Request // for requests that are not made to a session
	method  string       // for requests to a session
	url     *url.URL

	digest   digest.Digest // what the call is about, for errors and to check the body
	header   http.Header
	body     *Body  // content of a blob
	part     *part  // or the next bytes of it
	manifest []byte // or of a manifest
	blob     int64  // the size of the blob that the registry is to have after this
	must     auth.Scope
	patience patience
	keep     int64 // how much of a successful reply's body is kept, in bytes
	final    bool  // a 401 is an answer, not a reason to ask for a token
}

// part is some bytes of content that is sent in several requests.
type part struct {
	take func() (*checkedBody, error) // the content, at the first byte of the part
	size int64
}

// carries says whether the call carries content of a blob.
func (c call) carries() bool { return c.body != nil || c.part != nil }

// commitTime returns how long the answer may take once all content is out, for
// requests that otherwise may go without a byte for stall. A registry checks and
// moves a blob before it answers: ghcr.io takes 5 to 11 s for 700 MB.
func (c call) commitTime(stall time.Duration) time.Duration {
	return 3*stall + time.Duration(max(c.blob, c.size())/commitRate)*time.Second
}

// commitRate is how many bytes a slow registry commits in a second.
const commitRate = 8 << 20

// size returns how many bytes of content the call carries.
func (c call) size() int64 {
	switch {
	case c.body != nil:
		return c.body.Size
	case c.part != nil:
		return c.part.size
	}
	return 0
}

// target returns method and URL of the call at the host.
func (c call) target(h *Host) (string, *url.URL) {
	if c.url != nil {
		return c.method, c.url
	}
	return c.request.Method(), c.request.URL(h.root())
}

// subject returns the digest and the reference that errors name.
func (c call) subject() (digest.Digest, string) {
	d := c.digest
	if d == "" {
		d = c.request.Digest
	}
	ref := c.request.Reference
	if _, err := digest.Parse(ref); err == nil {
		return digest.Digest(ref), ""
	}
	return d, ref
}

// sending is the content that one request carries, and what became of it.
type sending struct {
	call   call
	before int64 // bytes of a part's content that were handed out earlier
	bodies []*checkedBody
}

// open returns the content from its first byte.
func (s *sending) open(ctx context.Context) (io.ReadCloser, error) {
	b, err := newCheckedBody(ctx, *s.call.body, s.call.digest)
	if err != nil {
		return nil, err
	}
	s.bodies = append(s.bodies, b)
	return b, nil
}

// result returns how many bytes of content went out, and what was wrong with it.
func (s *sending) result() (sent int64, err error) {
	for _, b := range s.bodies {
		n, bad := b.result()
		sent += n
		if bad != nil {
			err = bad
		}
	}
	return sent - s.before, err
}

// newRequest builds the request of the call to u, without its content.
func (s *sending) newRequest(ctx context.Context, method string, u *url.URL) *http.Request {
	req := (&http.Request{
		Method: method, URL: u, Host: u.Host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	for k, v := range s.call.header {
		req.Header[k] = v
	}
	return req
}

// load opens the content of the request, for as long as that takes: it is not
// time in which the request stalls. Content-Length is always sent: zot and ECR
// take no body of unknown size.
func (s *sending) load(req *http.Request, w *watcher) error {
	w.hold()
	defer w.moved()
	switch {
	case s.call.part != nil:
		return s.loadPart(req, w)
	case s.call.manifest != nil:
		req.ContentLength = int64(len(s.call.manifest))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.call.manifest)), nil }
	case s.call.body != nil:
		req.ContentLength = s.call.body.Size
		req.GetBody = func() (io.ReadCloser, error) {
			w.anew()
			defer w.moved()
			body, err := s.open(req.Context())
			if err != nil {
				return nil, err
			}
			return w.sent(body), nil
		}
	default:
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return err
	}
	req.Body = body
	if req.ContentLength == 0 {
		return s.sendNothing(req)
	}
	return nil
}

// loadPart makes a part of content the body of the request. What was opened
// stays open for the next part.
func (s *sending) loadPart(req *http.Request, w *watcher) error {
	p := s.call.part
	req.ContentLength = p.size
	req.GetBody = func() (io.ReadCloser, error) {
		w.anew()
		defer w.moved()
		content, err := p.take()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(s.bodies, content) { // else nothing of it was read yet
			before, _ := content.result()
			s.before += before
			s.bodies = append(s.bodies, content)
		}
		return w.sent(io.NopCloser(io.LimitReader(content, p.size))), nil
	}
	body, err := req.GetBody()
	req.Body = body
	return err
}

// sendNothing checks content of no bytes before the request goes out, because
// net/http does not read such a body.
func (s *sending) sendNothing(req *http.Request) error {
	defer req.Body.Close()
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return err
	}
	req.Body, req.GetBody = http.NoBody, nil
	return nil
}
