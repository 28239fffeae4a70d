package ledger

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// maxLoaded is how many segments may hold what is known of a host before one
// takes their place.
const maxLoaded = 16

// Export is a new segment, and what saving it changes.
type Export struct {
	// Content of the segment.
	Content []byte
	// Replaces names the segments that were loaded and are contained in this
	// one, or hold nothing of use.
	Replaces []string

	host    string
	facts   facts
	whole   bool
	changes int
}

// Stale says whether the segments of a host are to be loaded anew before the
// next export: the process has saved so many that they should become one, or one
// that it saved holds what is no longer believed.
func (l *Ledger) Stale(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(name)
	return h != nil && (len(h.own) > maxLoaded || h.wrong && len(h.own) > 0)
}

// Export returns a segment with what was learned of a host and is in no segment
// yet, or false if there is nothing of that kind. When more than 16 segments
// were loaded, or one of them holds what has turned out to be wrong, the new one
// holds all that is known and replaces them.
//
// A segment holds at most 2 MiB; what was seen last comes first. Call
// [Ledger.Saved] once it is saved, before the next export of the same host.
func (l *Ledger) Export(name string) (Export, bool) {
	l.mu.Lock()
	h := l.find(name)
	if h == nil || h.changes == h.saved {
		l.mu.Unlock()
		return Export{}, false
	}
	whole := len(h.loaded) > maxLoaded || h.wrong
	e := Export{host: name, facts: h.facts(whole, l.now()), whole: whole, changes: h.changes}
	e.Replaces = slices.Sorted(maps.Keys(h.spent))
	if whole {
		e.Replaces = append(e.Replaces, slices.Sorted(maps.Keys(h.loaded))...)
	}
	h.pending = !e.facts.empty() || len(e.Replaces) > 0
	pending := h.pending
	l.mu.Unlock()
	if !pending {
		return Export{}, false
	}
	content, err := encode(name, e.facts)
	if err != nil || len(content) > maxContent {
		return Export{}, false
	}
	e.Content = content
	return e, true
}

// Saved notes that an export was saved.
func (l *Ledger) Saved(e Export) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(e.host)
	h.saved, h.pending = max(h.saved, min(e.changes, h.changes)), false // the host may have been forgotten meanwhile
	h.own[sha256.Sum256(e.Content)] = true
	if e.whole && h.changes == e.changes {
		h.wrong = false
	}
	for _, name := range e.Replaces {
		delete(h.loaded, name)
		delete(h.spent, name)
	}
	for _, f := range e.facts.places {
		h.keepPlace(f)
	}
	for _, f := range e.facts.lasts {
		if at, ok := h.lasts[f.target]; ok && at.digest == f.digest {
			at.kept = max(at.kept, f.at)
			h.lasts[f.target] = at
		}
	}
	for _, f := range e.facts.traits {
		if s, ok := h.seen[f.trait]; ok && s.kept <= f.at {
			s.kept, s.keptCount = f.at, f.count
			h.seen[f.trait] = s
		}
	}
	if f := e.facts.limit; f.size == h.limit.size {
		h.limit.kept = max(h.limit.kept, f.at)
	}
}

// keepPlace notes that a segment holds a place.
func (h *host) keepPlace(f placeFact) {
	if e := h.blobs[f.digest]; e != nil {
		seen := e.Value.(*places).seen
		for i, s := range seen {
			if s.repository == f.repository {
				seen[i].kept = max(s.kept, f.at)
			}
		}
	}
}

// facts returns what is worth a segment: all of it, or what no segment holds.
func (h *host) facts(whole bool, now time.Time) facts {
	room := maxContent - 1<<10 // for what is around the facts
	f := facts{lasts: h.lastFacts(whole, now, &room)}
	for t := range traitNames() {
		s, ok := h.seen[t]
		n := capped(t, h.traits.Of(t))
		if ok && (whole || s.fresh(t, n)) && stampOf(s.at).alive(now, traitExpiry) {
			f.traits = append(f.traits, traitFact{t, n, stampOf(s.at)})
		}
	}
	if m := h.limit; m.size >= minLimit && (whole || fresh(m.at, m.kept, traitExpiry)) && stampOf(m.at).alive(now, traitExpiry) {
		f.limit = limitFact{m.size, stampOf(m.at)}
	}
	f.places = h.placeFacts(whole, now, &room)
	return f
}

// The bytes that an entry may take beside its names and digests.
const (
	roomEntry = 80
	roomPlace = 40
)

// lastFacts returns the last manifests that are worth a segment, newest first,
// as long as there is room.
func (h *host) lastFacts(whole bool, now time.Time, room *int) []lastFact {
	var out []lastFact
	for target, at := range h.lasts {
		if (whole || fresh(at.at, at.kept, traitExpiry)) && stampOf(at.at).alive(now, traitExpiry) && nameable(target) && at.digest.Validate() == nil && taggable(at.tags) {
			out = append(out, lastFact{target, at.digest, at.tags, stampOf(at.at)})
		}
	}
	slices.SortFunc(out, func(a, b lastFact) int { return int(min(max(b.at-a.at, -1), 1)) })
	for i, f := range out {
		if *room -= roomEntry + len(f.target) + len(f.digest) + len(f.tags)*4 + len(strings.Join(f.tags, "")); *room < 0 {
			return out[:i]
		}
	}
	return out
}

// placeFacts returns the places that are worth a segment, of the blobs that
// were touched last first, as long as there is room.
func (h *host) placeFacts(whole bool, now time.Time, room *int) []placeFact {
	var out []placeFact
	named := map[string]bool{}
	for e := h.order.Front(); e != nil; e = e.Next() {
		p := e.Value.(*places)
		if p.host != h {
			continue
		}
		before := len(out)
		for _, s := range p.seen[max(0, len(p.seen)-maxKept):] {
			if (whole || fresh(s.at, s.kept, expiry)) && stampOf(s.at).alive(now, expiry) && nameable(s.repository) {
				out = append(out, placeFact{p.digest, s.repository, stampOf(s.at)})
			}
		}
		if len(out) > before && p.digest.Validate() != nil {
			out = out[:before]
		}
		if *room -= cost(out[before:], p.digest, named); *room < 0 {
			return out[:before]
		}
	}
	return out
}

// cost returns the room that the places of one blob take.
func cost(facts []placeFact, d digest.Digest, named map[string]bool) int {
	if len(facts) == 0 {
		return 0
	}
	n := roomEntry + len(d)
	for _, f := range facts {
		n += roomPlace
		if !named[f.repository] {
			named[f.repository] = true
			n += roomPlace + len(f.repository)
		}
	}
	return n
}
