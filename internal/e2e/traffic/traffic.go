// Package traffic counts what reaches a registry, at the server, whatever the
// client believes that it sent.
package traffic

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// maxDrain bounds how many bytes of a body that the registry left unread are
// counted: as many as net/http reads of it.
const maxDrain = 256 << 10

// Entry is one request.
type Entry struct {
	Method string
	// Path is the path of the URL; Query is its query, as it came.
	Path, Query string
	// Repository that the path names, or "" for none.
	Repository string
	// Body counts the bytes of the request's body that arrived.
	Body int64
	// Status of the answer, 0 while there is none.
	Status int
}

// Blob reports whether the request is about blobs or uploads of them.
func (e Entry) Blob() bool { return strings.Contains(e.Path, "/blobs/") }

// String prints the request on one line, without digests in full.
func (e Entry) String() string {
	s := e.Method + " " + e.Path
	if e.Query != "" {
		s += "?" + e.Query
	}
	return fmt.Sprintf("%s %dB -> %d", s, e.Body, e.Status)
}

// Sum is what some requests cost.
type Sum struct {
	// Requests counts them.
	Requests int
	// Bytes counts the bytes of blobs that arrived.
	Bytes int64
}

// Log counts the requests to a handler. Its zero value is ready for use, by many
// goroutines at once.
type Log struct {
	// mu guards entries.
	mu      sync.Mutex
	entries []*Entry
}

// Handler returns a handler that notes each request and lets h answer it.
func (l *Log) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &Entry{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Repository: repository(r.URL.Path)}
		l.mu.Lock()
		l.entries = append(l.entries, e)
		l.mu.Unlock()

		answer := &recorder{ResponseWriter: w}
		body := &meter{ReadCloser: r.Body}
		// The handler gets a copy of the request: net/http looks at its own
		// request again once the handler has returned.
		inner := r.WithContext(r.Context())
		if r.Body != http.NoBody {
			inner.Body = body
		}
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			e.Body, e.Status = body.read(), answer.status
		}()
		h.ServeHTTP(answer, inner)
		answer.finish()
		_, _ = io.CopyN(io.Discard, body, maxDrain) // the client may have gone away
	})
}

// Reset forgets the requests so far.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// Entries returns the requests so far, in the order of their arrival.
func (l *Log) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Entry, 0, len(l.entries))
	for _, e := range l.entries {
		out = append(out, *e)
	}
	return out
}

// Sum adds up the requests so far, without those to the given repositories.
func (l *Log) Sum(without ...string) (s Sum) {
	for _, e := range l.Entries() {
		if e.Repository != "" && slices.Contains(without, e.Repository) {
			continue
		}
		s.Requests++
		if e.Blob() {
			s.Bytes += e.Body
		}
	}
	return s
}

// repository returns the name of the repository in a path of the distribution
// API.
func repository(path string) string {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return ""
	}
	for _, end := range []string{"/blobs/", "/manifests/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(rest, end); i > 0 {
			return rest[:i]
		}
	}
	return ""
}
