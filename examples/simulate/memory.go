package main

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// maxPlaces bounds the repositories that are remembered of one blob.
const maxPlaces = 8

// memory is what a Pusher remembers of one registry.
type memory struct {
	traits mount.Traits
	places map[digest.Digest][]string // newest last
	doubts map[[2]string]bool         // target and source
	last   map[string]last            // by target
	taught map[mount.Kind]bool        // lessons that were spent
}

// last is the manifest that a target was last seen to hold, and its tag.
type last struct {
	digest digest.Digest
	tag    string
}

func newMemory() *memory {
	return &memory{places: map[digest.Digest][]string{}, doubts: map[[2]string]bool{}, last: map[string]last{}, taught: map[mount.Kind]bool{}}
}

// evidence returns what is remembered for a push of an image to target.
func (m *memory) evidence(target string, img image) mount.Evidence {
	var facts []mount.Fact
	recall := func(d digest.Digest) {
		for _, place := range m.places[d] {
			facts = append(facts, mount.At(d, place, mount.Remembered))
			if m.doubts[[2]string{target, place}] {
				facts = append(facts, mount.Doubt(place))
			}
		}
	}
	for _, b := range img.blobs {
		recall(b.Digest)
	}
	recall(img.digest)
	e := mount.NewEvidence(target, m.traits, facts...)
	e = e.With(mount.Fact{DigestBelief: e.Belief(img.digest, target)})
	if l, ok := m.last[target]; ok {
		e = e.With(mount.Fact{Last: l.digest, Tag: l.tag})
	}
	return e
}

// record remembers facts that a push to target has shown.
func (m *memory) record(target string, facts []mount.Fact) {
	for _, f := range facts {
		switch {
		case f.Trait != 0:
			m.traits = m.traits.See(f.Trait, f.Value)
		case f.Doubted && f.Blob == "":
			m.doubts[[2]string{target, f.Source.Repository}] = true
		case f.Doubted:
			m.forget(f.Blob, f.Source.Repository)
		case f.Presence == mount.Absent:
			m.forget(f.Blob, target)
		case f.Presence != mount.Unproven:
			m.remember(f.Blob, target)
		case f.Source.Belief == mount.Confirmed:
			m.remember(f.Blob, f.Source.Repository)
		}
	}
}

func (m *memory) forget(d digest.Digest, repository string) {
	m.places[d] = slices.DeleteFunc(slices.Clone(m.places[d]), func(s string) bool { return s == repository })
}

func (m *memory) remember(d digest.Digest, repository string) {
	m.forget(d, repository)
	m.places[d] = append(m.places[d], repository)
	m.places[d] = m.places[d][max(0, len(m.places[d])-maxPlaces):]
}
