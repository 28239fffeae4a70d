package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
)

// Violations returns what the registry received that the specification forbids, one text for each
// offence, in the order in which they were found. They are found whatever the behaviour makes of them. A
// session that an injected fault touched is judged mildly: its client cannot know how it stands.
func (r *Registry) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

// violate records an offence of the request.
func (c *call) violate(format string, args ...any) {
	text := fmt.Sprintf("request %d, %s %s: %s", c.entry.Seq, c.entry.Method, c.entry.URL, fmt.Sprintf(format, args...))
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	c.reg.violations = append(c.reg.violations, text)
}

// inspect looks for offences that the request shows by itself.
func (c *call) inspect() {
	if c.bad != nil && c.bad.Code != wire.CodeUnsupported {
		c.violate("no request of the API: %s", c.bad.Code)
		return
	}
	query := c.r.URL.Query()
	length, stated := c.r.ContentLength, c.r.Header.Get("Content-Length") != ""
	switch c.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		if length != 0 {
			c.violate("a %s has no body", c.r.Method)
		}
	}
	switch c.req.Kind {
	case wire.UploadStart, wire.Mount:
		if length != 0 || !stated {
			c.violate("a POST that starts an upload has Content-Length: 0")
		}
		if c.req.Kind == wire.Mount && query.Has("from") && c.req.From == "" {
			c.violate("from is empty")
		}
	case wire.UploadSingle, wire.UploadChunk, wire.UploadFinish:
		c.inspectBody()
	case wire.ManifestPut:
		if !isManifest(mediaType(c.r.Header)) {
			c.violate("the Content-Type %q is not that of a manifest", c.r.Header.Get("Content-Type"))
		}
	}
}

// inspectBody looks at the headers of a body of blob bytes.
func (c *call) inspectBody() {
	if c.r.ContentLength < 0 {
		c.violate("Content-Length is missing")
	}
	if kind := mediaType(c.r.Header); c.r.ContentLength != 0 && kind != octetStream {
		c.violate("the Content-Type %q is not %s", c.r.Header.Get("Content-Type"), octetStream)
	}
}

// inspectSession looks for offences against the session that the request holds.
func (c *call) inspectSession(s *session) {
	query := c.r.URL.Query()
	for _, key := range []string{"mount", "from"} {
		if query.Has(key) {
			c.violate("%s is no parameter of a session", key)
		}
	}
	c.reg.mu.Lock()
	faulted := s.faulted
	c.reg.mu.Unlock()
	if faulted {
		return
	}
	if got, want := sessionPlace(c.r.URL.RequestURI()), sessionPlace(s.issued); got != want {
		c.violate("the session's newest Location is %s", s.issued)
	}
	if c.req.Kind == wire.UploadFinish && s.mount != "" && s.mount != c.req.Digest {
		c.violate("the session was opened by a mount of %s", s.mount)
	}
	header := c.r.Header.Get("Content-Range")
	if header == "" || c.req.Kind != wire.UploadChunk && c.req.Kind != wire.UploadFinish {
		return
	}
	start, end, ok := parseContentRange(header)
	switch {
	case !ok:
		c.violate("the Content-Range %q is not of the form <start>-<end>", header)
	case start != s.content.size:
		c.violate("the Content-Range %q is out of order: %d bytes stand", header, s.content.size)
	case c.r.ContentLength >= 0 && c.r.ContentLength != end-start+1:
		c.violate("the Content-Range %q does not agree with the Content-Length %d", header, c.r.ContentLength)
	}
}

// sessionPlace cuts from the path and query of a session what a client adds or must leave out.
func sessionPlace(uri string) string {
	path, query, _ := strings.Cut(uri, "?")
	var kept []string
	for param := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(param, "=")
		if plain, err := url.QueryUnescape(key); err == nil {
			key = plain
		}
		if param != "" && key != "digest" && key != "mount" && key != "from" {
			kept = append(kept, param)
		}
	}
	return path + "?" + strings.Join(kept, "&")
}
