package registrytest

import (
	"maps"
	"net/http"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// Entry is one request as the registry saw it.
type Entry struct {
	Seq        int       // order of arrival, from 1, never repeated by one registry
	Kind       wire.Kind // 0 when the request is none of the API
	Method     string
	Host       string        // the Host header
	URL        string        // path and query as they came
	Repository string        // target
	Digest     digest.Digest // as wire.Request.Digest
	From       string        // source of a mount
	Reference  string        // tag or digest of a manifest
	Tags       []string      // tag= parameters of a manifest
	Status     int           // of the reply; 0 while there is none, and for good when the connection was broken before
	Sent       int64         // bytes of the request's body that were received
	Replied    int64         // bytes of the reply's body that were sent
	Authorized bool          // an Authorization header came and was accepted; without Auth, one came
	Fault      FaultKind     // what Inject did to it, 0 for nothing; Status is then what the registry meant to say
	Header     http.Header   // a copy of the request's
}

// Counts sums up the log since New or the last ResetLog.
type Counts struct {
	Requests int
	ByKind   map[wire.Kind]int
	Bytes    int64 // bytes of blobs received, also those that were refused or dropped
	// BytesTwice are the bytes of blobs that came again, to a repository that had received the same blob
	// in full before. Uploads that a fault touched do not count.
	BytesTwice        int64
	SessionsOpened    int
	SessionsOpen      int // now, whenever they were opened
	SessionsCancelled int // by DELETE
}

// Log returns the requests so far in order of arrival, those under way included.
func (r *Registry) Log() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := make([]Entry, len(r.entries))
	for i, e := range r.entries {
		entries[i] = *e
	}
	return entries
}

// ResetLog forgets the log and the counts, not the content nor the violations.
func (r *Registry) ResetLog() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = nil
	r.resetCounts()
}

func (r *Registry) resetCounts() {
	r.counts = Counts{ByKind: map[wire.Kind]int{}}
}

// Count sums up the log.
func (r *Registry) Count() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts
	c.ByKind = maps.Clone(c.ByKind)
	c.SessionsOpen = r.openSessions()
	return c
}

// OpenSessions is how many upload sessions are open now.
func (r *Registry) OpenSessions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.openSessions()
}

func (r *Registry) openSessions() int {
	n := 0
	for _, s := range r.sessions {
		if s.end == sessionOpen {
			n++
		}
	}
	return n
}

// Label names a digest in Lines.
func (r *Registry) Label(d digest.Digest, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.labels[d] = name
}

// begin logs a request that has just arrived and returns its entry, a copy of it for those who must not
// hold the lock, and the behaviour that it meets.
func (r *Registry) begin(req *http.Request, parsed wire.Request) (*Entry, Behaviour) {
	e := &Entry{
		Kind:       parsed.Kind,
		Method:     req.Method,
		Host:       req.Host,
		URL:        req.URL.RequestURI(),
		Repository: parsed.Repository,
		Digest:     parsed.Digest,
		From:       parsed.From,
		Reference:  parsed.Reference,
		Tags:       parsed.Tags,
		Header:     req.Header.Clone(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	e.Seq = r.requests
	r.entries = append(r.entries, e)
	r.counts.Requests++
	r.counts.ByKind[e.Kind]++
	return e, r.behaviour
}
