package ledger

import (
	"container/list"
	"crypto/sha256"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/lru"
	"github.com/crossmount/crossmount/mount"
)

// host is what is known of one registry host.
type host struct {
	prior  mount.Traits // what is known of hosts of this name
	traits mount.Traits
	seen   map[mount.Trait]sight
	limit  limit
	blobs  map[digest.Digest]*list.Element // of *places
	order  *list.List                      // of *places of all hosts, most recently touched first
	doubts map[doubt]time.Time
	lasts  map[string]last // by target

	// What segments hold of it.
	loaded  map[string]bool            // segments that were loaded and hold something
	spent   map[string]bool            // segments that were loaded and hold nothing of use
	own     map[[sha256.Size]byte]bool // contents saved since the segments were last loaded
	wrong   bool                       // something that a segment holds was forgotten
	pending bool                       // an export is being saved
	changes int                        // counts what became worth saving
	saved   int                        // the changes that were saved
}

// places is where a blob was seen, most recent last.
type places struct {
	host   *host
	digest digest.Digest
	seen   []place
}

type place struct {
	repository string
	at         time.Time
	kept       stamp     // the time that a segment holds
	heard      time.Time // when a registry said so in this process; zero if none did
}

// doubt says that the credential of a target could not read a source.
type doubt struct{ target, source string }

// sight is when a trait was last observed, and what a segment holds of it.
type sight struct {
	at        time.Time
	kept      stamp
	keptCount mount.Seen
}

// limit is when the smallest PUT that was refused was last refused.
type limit struct {
	size int64 // in bytes; 0 if none was refused
	at   time.Time
	kept stamp
}

// last is the manifest that was last put into a target, or seen there.
type last struct {
	digest digest.Digest
	tags   []string // of the target that were put or seen last, newest last; never changed in place
	at     time.Time
	kept   stamp
}

// find returns what is known of a host, or nil.
func (l *Ledger) find(name string) *host {
	if l.hosts == nil {
		return nil
	}
	h, _ := l.hosts.Get(name)
	return h
}

// host returns what is known of a host, newly made if that is nothing.
func (l *Ledger) host(name string) *host {
	if h := l.find(name); h != nil {
		return h
	}
	if l.hosts == nil {
		l.hosts = lru.New[string, *host](maxHosts)
	}
	if name, oldest, ok := l.hosts.Oldest(); ok && l.hosts.Len() >= maxHosts {
		for _, e := range oldest.blobs {
			l.order.Remove(e)
		}
		l.lasts -= len(oldest.lasts)
		l.hosts.Delete(name)
	}
	h := &host{
		prior: mount.Priors(name), traits: mount.Priors(name),
		blobs: map[digest.Digest]*list.Element{}, order: &l.order, doubts: map[doubt]time.Time{},
		seen: map[mount.Trait]sight{}, lasts: map[string]last{},
		loaded: map[string]bool{}, spent: map[string]bool{}, own: map[[sha256.Size]byte]bool{},
	}
	l.hosts.Put(name, h)
	return h
}

// see notes an observation of a trait.
func (h *host) see(t mount.Trait, value bool, now time.Time) {
	h.traits = h.traits.See(t, value)
	s := h.seen[t]
	s.at = now
	h.seen[t] = s
	h.note(s.fresh(t, h.traits.Of(t)))
}

// age forgets the traits that were last observed too long ago.
func (h *host) age(now time.Time) {
	for t, s := range h.seen {
		if now.Sub(s.at) >= traitExpiry {
			h.traits = h.traits.With(t, h.prior.Of(t))
			delete(h.seen, t)
		}
	}
}

// seeLimit notes that a body of size bytes was refused.
func (h *host) seeLimit(size int64, patch bool, now time.Time) {
	h.traits = h.traits.SeeLimit(size, patch)
	m := &h.limit
	switch {
	case patch: // not kept
	case m.size == 0 || size < m.size:
		*m = limit{size: size, at: now}
	case size == m.size:
		m.at = now
	}
	h.note(m.size > 0 && fresh(m.at, m.kept, traitExpiry))
}

// note counts a change that is worth saving.
func (h *host) note(worth bool) {
	if worth {
		h.changes++
	}
}

// remember notes that repository holds d.
func (h *host) remember(d digest.Digest, repository string, now time.Time) {
	e := h.blobs[d]
	if e == nil {
		e = h.order.PushFront(&places{host: h, digest: d})
		h.blobs[d] = e
	} else {
		h.order.MoveToFront(e)
	}
	p := e.Value.(*places)
	old, _ := p.drop(repository)
	p.seen = append(p.seen, place{repository, now, old.kept, now})
	h.note(fresh(now, old.kept, expiry))
	if len(p.seen) > maxPlaces {
		p.seen = p.seen[1:]
	}
	if h.order.Len() > maxBlobs {
		oldest := h.order.Remove(h.order.Back()).(*places)
		delete(oldest.host.blobs, oldest.digest)
	}
}

// forget takes back that repository holds d, unless it was seen there after the
// given time, if there is one.
func (h *host) forget(d digest.Digest, repository string, asked time.Time) {
	e := h.blobs[d]
	if e == nil {
		return
	}
	p := e.Value.(*places)
	if !asked.IsZero() && p.seenSince(repository, asked) {
		return
	}
	if old, ok := p.drop(repository); ok {
		h.disown(old.kept)
	}
	if len(p.seen) == 0 {
		h.order.Remove(e)
		delete(h.blobs, d)
	}
}

// disown notes that something was forgotten: if a segment holds it, or is about
// to, that segment is to be replaced.
func (h *host) disown(kept stamp) {
	if kept != 0 || h.pending {
		h.wrong = true
		h.note(true)
	}
}

// seenSince says whether the blob was seen in repository at the given time or
// after it.
func (p *places) seenSince(repository string, at time.Time) bool {
	for _, s := range p.seen {
		if s.repository == repository {
			return !s.at.Before(at)
		}
	}
	return false
}

// drop removes repository from the places, and returns what it removed.
func (p *places) drop(repository string) (dropped place, ok bool) {
	kept := make([]place, 0, len(p.seen)+1)
	for _, s := range p.seen {
		if s.repository != repository {
			kept = append(kept, s)
		} else {
			dropped, ok = s, true
		}
	}
	p.seen = kept
	return dropped, ok
}

// distrust notes that a source cannot be read with the credential of a target.
// What others have recorded of it stays: their credential may read it.
func (h *host) distrust(d doubt, now time.Time) {
	delete(h.doubts, d) // raised again, it needs no room of another
	if len(h.doubts) >= maxDoubts {
		delete(h.doubts, h.oldestDoubt())
	}
	h.doubts[d] = now
}

// oldestDoubt returns the doubt that was raised longest ago.
func (h *host) oldestDoubt() doubt {
	var oldest doubt
	var since time.Time
	for d, at := range h.doubts {
		if oldest == (doubt{}) || at.Before(since) {
			oldest, since = d, at
		}
	}
	return oldest
}
