package registrytest

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// ending is how an upload session came to its end.
type ending int

const (
	sessionOpen ending = iota
	sessionFinished
	sessionCancelled
	sessionLost // the registry dropped it; the client cannot know
)

// session is an upload session. One request holds it at a time; that request alone touches it, but for
// end, busy, cut and faulted, which Registry.mu guards.
type session struct {
	id      string
	repo    string
	mount   digest.Digest // the blob that the mount asked for, "" when no mount opened it
	from    string
	content *content
	bodies  int    // PATCHes taken
	state   int    // changes with every PATCH
	short   bool   // a chunk below OCI-Chunk-Min-Length was taken: it must be the last
	issued  string // path and query of the newest Location

	end     ending
	busy    chan struct{} // closed when the request that holds the session lets go; nil when none does
	cut     bool          // the last request that held it broke off
	faulted bool          // a fault or a lost reply: the client may not know its state
}

// open begins a session. mount and from are those of the request that opens it.
func (c *call) open(mount digest.Digest, from string) *session {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	c.reg.opened++
	s := &session{
		id:      fmt.Sprintf("%08x-0000-4000-8000-%012x", c.reg.opened*2654435761&0xffffffff, c.reg.opened),
		repo:    c.req.Repository,
		mount:   mount,
		from:    from,
		content: newContent(c.b.DiscardAbove),
	}
	c.reg.sessions[s.id] = s
	c.reg.counts.SessionsOpened++
	return s
}

// withSession runs step on the session of the request, unless there is none.
func (c *call) withSession(step func(*session)) {
	s := c.acquire()
	if s == nil {
		c.drain()
		c.failWith(http.StatusNotFound, wire.CodeBlobUploadUnknown, "blob upload unknown to registry")
		return
	}
	c.inspectSession(s)
	if c.refuseURL(s) {
		return
	}
	step(s)
}

// acquire waits until no other request holds the session, and takes it. It returns nil when there is no
// such session.
func (c *call) acquire() *session {
	waited := false
	for {
		c.reg.mu.Lock()
		s := c.reg.sessions[c.req.Session]
		if s == nil || s.repo != c.req.Repository {
			c.reg.mu.Unlock()
			return nil
		}
		s.faulted = s.faulted || c.entry.Fault != 0
		faulted, cut, end, busy := s.faulted, s.cut, s.end, s.busy
		if end == sessionOpen && busy == nil {
			s.busy = make(chan struct{})
			c.sess = s
		}
		c.reg.mu.Unlock()
		switch {
		case busy != nil:
			waited = true
			if !waitFor(c.r, busy) {
				abort()
			}
			continue
		case waited && !cut && !faulted:
			c.violate("two requests at once on one session")
		case (end == sessionFinished || end == sessionCancelled) && !faulted:
			if c.drain(); !c.cut { // one that was given up may come after the DELETE
				c.violate("the session has ended")
			}
		}
		if end != sessionOpen {
			return nil
		}
		return s
	}
}

// release lets go of the session, if the request holds one.
func (c *call) release() {
	s := c.sess
	if s == nil {
		return
	}
	c.sess = nil
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	s.cut = c.cut
	if c.r.Context().Err() != nil {
		s.faulted = true // the client went away and does not know the reply
	}
	if c.cut && c.b.SessionDropsOnCut && s.end == sessionOpen {
		s.end = sessionLost
	}
	close(s.busy)
	s.busy = nil
}

// endSession ends the session that the request holds.
func (c *call) endSession(s *session, how ending) {
	c.reg.mu.Lock()
	defer c.reg.mu.Unlock()
	s.end = how
	if how == sessionCancelled {
		c.reg.counts.SessionsCancelled++
	}
}

// refuseURL answers when the session's URL is not one that this registry takes.
func (c *call) refuseURL(s *session) bool {
	query := c.r.URL.Query()
	switch c.b.LocationForm {
	case LocationCarriesMount:
		if !query.Has("mount") {
			return false
		}
		c.drain()
		c.failWith(http.StatusBadRequest, wire.CodeBlobUploadInvalid, "mount is no parameter of an upload")
		return true
	case LocationStateQuery:
		switch query.Get("_state") {
		case s.stateValue():
			return false
		case "":
			c.drain()
			c.failWith(http.StatusNotFound, wire.CodeBlobUploadUnknown, "the state is missing")
			return true
		}
		c.drain()
		c.refuseStale(s)
		return true
	}
	return false
}

// refuseStale answers a session URL whose state is old.
func (c *call) refuseStale(s *session) {
	switch status := or(c.b.StaleSession, http.StatusNotFound); status {
	case http.StatusRequestedRangeNotSatisfiable:
		c.w.Header().Set("Range", c.rangeOf(s))
		c.failWith(status, wire.CodeRangeInvalid, "the state of the upload has moved on")
	default:
		c.failWith(status, wire.CodeBlobUploadInvalid, "the state of the upload has moved on")
	}
}

// stateValue is the value of _state. It holds characters that must be escaped, so that a client that
// rewrites the query does not go unnoticed.
func (s *session) stateValue() string {
	return "~" + s.id[:8] + "+" + strconv.Itoa(s.state) + "="
}

// stateQuery is the state as a query, in a form that Go's own encoder would not write.
func (s *session) stateQuery() string {
	return "_state=%7e" + s.id[:8] + "%2b" + strconv.Itoa(s.state) + "%3D&part"
}

// locate gives the session its newest URL and sets the Location header.
func (c *call) locate(s *session) {
	base := ""
	word, query := "uploads", ""
	switch c.b.LocationForm {
	case LocationAbsolute:
		base = c.base()
	case LocationStateQuery:
		base, query = c.base(), "?"+s.stateQuery()
	case LocationOtherPath:
		word = "upload"
	case LocationCarriesMount:
		if s.mount != "" {
			query = "?mount=" + s.mount.String()
		}
		if s.from != "" {
			query += "&from=" + s.from
		}
	}
	if c.b.LocationHost != nil {
		base = c.b.LocationHost(c.r)
	}
	s.issued = "/v2/" + s.repo + "/blobs/" + word + "/" + s.id + query
	c.w.Header().Set("Location", base+s.issued)
}

// base is the scheme and host by which the request came.
func (c *call) base() string {
	if c.r.TLS != nil {
		return "https://" + c.r.Host
	}
	return "http://" + c.r.Host
}

// rangeOf is the Range header that says how much of the upload stands.
func (c *call) rangeOf(s *session) string {
	switch {
	case s.content.size > 0:
		return fmt.Sprintf("0-%d", s.content.size-1)
	case c.b.FreshRange != "":
		return c.b.FreshRange
	}
	return "0-0"
}

// accepted sends the 202 that hands out a new session.
func (c *call) accepted(s *session) {
	c.locate(s)
	if !c.b.NoUploadRange {
		c.w.Header().Set("Range", c.rangeOf(s))
	}
	c.w.Header().Set("Docker-Upload-Uuid", s.id)
	if c.b.ChunkMin > 0 {
		c.w.Header().Set("OCI-Chunk-Min-Length", strconv.FormatInt(c.b.ChunkMin, 10))
	}
	c.reply(http.StatusAccepted)
}

// waitFor waits until done is closed. It gives false when the client goes away first.
func waitFor(r *http.Request, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-r.Context().Done():
		return false
	}
}
