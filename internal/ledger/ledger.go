// Package ledger is the one mutable memory of facts. Pushes record in it what
// registries have shown, and take from it, as immutable evidence, what the next
// push may start from.
//
// What is remembered only orders tries: it never skips a blob. So a fact that
// is out of date costs a request, not a push.
package ledger

import (
	"container/list"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

const (
	// expiry is how long a place of a blob is remembered. Registries collect
	// what no manifest names, Quay after an hour.
	expiry = 12 * time.Hour
	// maxBlobs bounds the blobs remembered of one host; the one that was
	// touched longest ago is forgotten first.
	maxBlobs = 50_000
	// maxPlaces bounds the repositories remembered of one blob.
	maxPlaces = 8
	// maxDoubts bounds the sources remembered of one host as unreadable for a
	// target; the oldest doubt is forgotten first.
	maxDoubts = 256
)

// Ledger remembers facts by registry host. Hosts are told apart with their
// port. The zero value is empty and ready; it may be used by many goroutines
// at once.
type Ledger struct {
	// Now is the clock. The default is time.Now. It is set before first use.
	Now func() time.Time

	// mu guards hosts and all that is in them.
	mu    sync.Mutex
	hosts map[string]*host
}

// host is what is known of one registry host.
type host struct {
	traits mount.Traits
	blobs  map[digest.Digest]*list.Element // of *places
	order  *list.List                      // most recently touched first
	doubts map[doubt]time.Time
}

// places is where a blob was seen, most recent last.
type places struct {
	digest digest.Digest
	seen   []place
}

type place struct {
	repository string
	at         time.Time
}

// doubt says that the credential of a target could not read a source.
type doubt struct{ target, source string }

// Traits returns what is known of a host.
func (l *Ledger) Traits(name string) mount.Traits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.hosts[name]; h != nil {
		return h.traits
	}
	return mount.Traits{}
}

// Evidence returns what is known of the given blobs for a push to target on a
// host: the host's traits, and in which repositories the blobs were seen.
func (l *Ledger) Evidence(name, target string, blobs []digest.Digest) mount.Evidence {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[name]
	if h == nil {
		return mount.NewEvidence(target, mount.Traits{})
	}
	now := l.now()
	var facts []mount.Fact
	for _, d := range blobs {
		e := h.blobs[d]
		if e == nil {
			continue
		}
		for _, p := range e.Value.(*places).seen {
			if now.Sub(p.at) < expiry {
				facts = append(facts, mount.At(d, p.repository, mount.Remembered))
			}
		}
	}
	for d, at := range h.doubts {
		if d.target == target && now.Sub(at) < expiry {
			facts = append(facts, mount.Doubt(d.source))
		}
	}
	return mount.NewEvidence(target, h.traits, facts...)
}

// Record remembers facts that a push to target on a host has shown, and returns
// the traits of the host as they are now. Claims and guesses are not kept.
func (l *Ledger) Record(name, target string, facts ...mount.Fact) mount.Traits {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(name)
	now := l.now()
	for _, f := range facts {
		switch {
		case f.Trait != 0:
			h.traits = h.traits.See(f.Trait, f.Value)
		case f.Limit > 0:
			h.traits = h.traits.SeeLimit(f.Limit, f.Patch)
		case f.Doubted && f.Blob == "":
			h.distrust(doubt{target, f.Source.Repository}, now)
		case f.Doubted:
			h.forget(f.Blob, f.Source.Repository)
		case f.Presence == mount.Absent:
			h.forget(f.Blob, target)
		case f.Presence != mount.Unproven:
			h.remember(f.Blob, target, now)
		case f.Source.Belief == mount.Confirmed:
			h.remember(f.Blob, f.Source.Repository, now)
		}
	}
	return h.traits
}

func (l *Ledger) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

func (l *Ledger) host(name string) *host {
	h := l.hosts[name]
	if h == nil {
		h = &host{blobs: map[digest.Digest]*list.Element{}, order: list.New(), doubts: map[doubt]time.Time{}}
		if l.hosts == nil {
			l.hosts = map[string]*host{}
		}
		l.hosts[name] = h
	}
	return h
}

// remember notes that repository holds d.
func (h *host) remember(d digest.Digest, repository string, now time.Time) {
	e := h.blobs[d]
	if e == nil {
		e = h.order.PushFront(&places{digest: d})
		h.blobs[d] = e
	} else {
		h.order.MoveToFront(e)
	}
	p := e.Value.(*places)
	p.drop(repository)
	p.seen = append(p.seen, place{repository, now})
	if len(p.seen) > maxPlaces {
		p.seen = p.seen[1:]
	}
	if h.order.Len() > maxBlobs {
		last := h.order.Back()
		h.order.Remove(last)
		delete(h.blobs, last.Value.(*places).digest)
	}
}

// forget takes back that repository holds d.
func (h *host) forget(d digest.Digest, repository string) {
	e := h.blobs[d]
	if e == nil {
		return
	}
	p := e.Value.(*places)
	p.drop(repository)
	if len(p.seen) == 0 {
		h.order.Remove(e)
		delete(h.blobs, d)
	}
}

// drop removes repository from the places.
func (p *places) drop(repository string) {
	kept := make([]place, 0, len(p.seen)+1)
	for _, s := range p.seen {
		if s.repository != repository {
			kept = append(kept, s)
		}
	}
	p.seen = kept
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
