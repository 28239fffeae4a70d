package ledger

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/crossmount/crossmount/mount"
)

// Segment is a part of what was remembered of a host outside of the process.
type Segment struct {
	Name    string
	Content []byte
}

// The bounds of one import.
const (
	maxSegments = 256
	maxImport   = 8 << 20 // bytes
)

// Import adds what segments hold of a host. Newer knowledge wins over older, so
// the order of the segments does not matter, nor does it matter when what one
// of them holds is known already. What is out of date, from the future, torn,
// edited or of another version is left out. Of more than 256 segments or 8 MiB,
// the rest is not looked at.
//
// What segments say of traits is only as weighty as few observations.
func (l *Ledger) Import(name string, segments []Segment) {
	var read []facts
	now := l.now()
	for _, s := range l.unread(name, bounded(segments)) {
		f, err := decode(s.Content, name, now)
		if err == errVersion {
			continue // it may be of use to others
		}
		l.noteSegment(name, s.Name, err != nil || f.empty())
		read = append(read, f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(name)
	var all facts
	for _, f := range read {
		all.places = append(all.places, f.places...)
		all.lasts = append(all.lasts, f.lasts...)
		all.traits = append(all.traits, f.traits...)
		h.mergeLimit(f.limit)
	}
	h.mergePlaces(all.places)
	before := len(h.lasts)
	h.mergeLasts(all.lasts)
	l.lasts += len(h.lasts) - before
	l.trimLasts()
	h.mergeTraits(all.traits)
}

// bounded returns as many of the segments as are looked at.
func bounded(segments []Segment) []Segment {
	left := maxImport
	for i, s := range segments {
		if left -= min(len(s.Content), maxContent); left < 0 || i >= maxSegments {
			return segments[:i]
		}
	}
	return segments
}

// unread returns the segments whose content is not known, and notes the others.
func (l *Ledger) unread(name string, segments []Segment) []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(name)
	var out []Segment
	for _, s := range segments {
		switch {
		case h.loaded[s.Name] || h.spent[s.Name]:
		case len(h.own) > 0 && len(s.Content) <= maxContent && h.own[sha256.Sum256(s.Content)]:
			h.loaded[s.Name] = true
		default:
			out = append(out, s)
		}
	}
	clear(h.own)
	return out
}

// noteSegment notes that a segment was loaded, and whether it is of no use.
func (l *Ledger) noteSegment(name, segment string, useless bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.host(name); useless {
		h.spent[segment] = true
	} else {
		h.loaded[segment] = true
	}
}

// mergePlaces adds places of blobs. Those of blobs that this process has seen
// nothing of count as touched before all that it has seen.
func (h *host) mergePlaces(facts []placeFact) {
	slices.SortFunc(facts, func(a, b placeFact) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(a.digest, b.digest), cmp.Compare(a.repository, b.repository))
	})
	for _, f := range facts { // newest first
		e := h.blobs[f.digest]
		if e == nil {
			if h.order.Len() >= maxBlobs {
				continue
			}
			e = h.order.PushBack(&places{host: h, digest: f.digest})
			h.blobs[f.digest] = e
		}
		e.Value.(*places).merge(f)
	}
}

// merge adds one place, unless there are enough that are newer.
func (p *places) merge(f placeFact) {
	for i, s := range p.seen {
		if s.repository == f.repository {
			p.seen[i].kept = max(s.kept, f.at)
			if s.at.Before(f.at.time()) {
				p.seen[i].at = f.at.time()
			}
			p.sort()
			return
		}
	}
	if len(p.seen) >= maxKept {
		return
	}
	p.seen = append(p.seen, place{repository: f.repository, at: f.at.time(), kept: f.at})
	p.sort()
}

// sort puts the places in the order of their times.
func (p *places) sort() {
	slices.SortStableFunc(p.seen, func(a, b place) int { return a.at.Compare(b.at) })
}

// mergeLasts adds the last manifests of targets.
func (h *host) mergeLasts(facts []lastFact) {
	slices.SortFunc(facts, func(a, b lastFact) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(a.target, b.target), cmp.Compare(a.digest, b.digest), slices.Compare(a.tags, b.tags))
	})
	for _, f := range facts { // newest first
		at, ok := h.lasts[f.target]
		switch {
		case !ok && len(h.lasts) >= maxLasts:
		case !ok || stampOf(at.at) < f.at:
			h.lasts[f.target] = last{f.digest, f.tags, f.at.time(), f.at}
		case at.digest == f.digest:
			at.kept = max(at.kept, f.at)
			h.lasts[f.target] = at
		}
	}
}

// mergeTraits takes over what is newer than what is known, and lets the counts
// of all traits weigh little.
func (h *host) mergeTraits(facts []traitFact) {
	counts := map[mount.Trait]mount.Seen{}
	for t := range h.seen {
		counts[t] = h.traits.Of(t)
	}
	slices.SortFunc(facts, func(a, b traitFact) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.count.Yes, a.count.Yes), cmp.Compare(b.count.No, a.count.No))
	})
	for _, f := range facts { // newest first
		s, ok := h.seen[f.trait]
		switch {
		case !ok || stampOf(s.at) < f.at:
			h.seen[f.trait] = sight{f.at.time(), f.at, f.count}
			counts[f.trait] = f.count
		case s.kept < f.at:
			s.kept, s.keptCount = f.at, f.count
			h.seen[f.trait] = s
		}
	}
	limit := h.traits.BodyLimit()
	h.traits = mount.Traits{}
	for t := mount.Trait(1); t.Valid(); t++ {
		n, ok := counts[t]
		if !ok {
			n = h.prior.Of(t)
		}
		h.traits = h.traits.With(t, capped(t, n))
	}
	if limit := h.prior.PutLimit(); limit > 0 {
		h.traits = h.traits.SeeLimit(limit, false)
	}
	if h.limit.size > 0 {
		h.traits = h.traits.SeeLimit(h.limit.size, false)
	}
	if limit > 0 {
		h.traits = h.traits.SeeLimit(limit, true)
	}
}

// mergeLimit takes over a limit that is smaller than what is known. The traits
// are built from it afterwards.
func (h *host) mergeLimit(f limitFact) {
	m := &h.limit
	switch {
	case f.size == 0:
	case m.size == 0 || f.size < m.size:
		*m = limit{f.size, f.at.time(), f.at}
	case f.size == m.size:
		m.kept = max(m.kept, f.at)
		if m.at.Before(f.at.time()) {
			m.at = f.at.time()
		}
	}
}
