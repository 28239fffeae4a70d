package mount

import (
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Belief is how sure it is that a repository holds a blob, by where the
// knowledge comes from. A higher belief wins over a lower one.
type Belief int

// The beliefs, weakest first.
const (
	NoBelief   Belief = iota
	Listed            // guessed: the caller named the repository as worth a try
	Claimed           // an annotation of the image says so
	Remembered        // this client pulled it from there or pushed it there earlier
	Confirmed         // the registry said so in this push
)

// Presence is what the registry itself has said in this push of a blob in the
// target. Only this may skip a blob; all else orders the tries.
type Presence int

// The presences.
const (
	Unproven Presence = iota
	Present           // it stood there
	Absent            // it was not there
	Placed            // it stands now, since this push put it there
)

// Standing is what a look at the target repository has shown.
type Standing int

// The standings.
const (
	Unlooked   Standing = iota // nobody has looked
	TagAbsent                  // the tag is not there; the repository may be
	TagOther                   // the tag stands with another manifest
	RepoAbsent                 // the registry does not know the repository: it holds nothing
	RepoExists                 // the repository has tags, the one that is pushed not among them
)

// Source is a repository of the target's registry that may hold a blob.
type Source struct {
	Repository string
	Belief     Belief
}

// Fact is one thing observed or claimed. Exactly one of its parts is set.
type Fact struct {
	// Blob and what is known of it in the target (Presence) or in another
	// repository (Source).
	Blob     digest.Digest
	Presence Presence
	Source   Source
	// Doubted takes back what was believed of Source.Repository holding Blob
	// (of every blob there, when Blob is empty).
	Doubted bool
	// Asked says that the target was asked for Blob in this push, whatever it
	// answered. A blob that was asked for is not made a scout again.
	Asked bool
	// Trait of the host, seen to be so or not.
	Trait Trait
	Value bool
	// Limit is a body size in bytes that the host refused with 413: a PUT, or a
	// PATCH as well.
	Limit int64
	Patch bool
	// Allow names a repository, or with a "/" at its end the prefix of many, that
	// blobs may be mounted from. Once there is such a fact, there is no other source.
	Allow string
	// Standing of the target repository.
	Standing Standing
	// DigestAsked says that the target was asked for the digest of the image,
	// and does not hold it.
	DigestAsked bool
	// DigestBelief is how sure it is, before it was asked, that the target holds
	// the digest of the image.
	DigestBelief Belief
	// Last is a manifest, other than that of the image, that the target is
	// remembered to hold, and Tag a tag that the target was lately seen to have, if
	// any is known. There is a fact for each tag.
	Last digest.Digest
	Tag  string
}

// Evidence is an immutable set of facts about one target repository and the
// registry host that it is on. The zero value knows nothing. It may be used by
// many goroutines at once.
type Evidence struct {
	target       string
	traits       Traits
	standing     Standing
	digestAsked  bool
	digestBelief Belief
	last         digest.Digest
	lastTags     []string
	base         map[digest.Digest]blobFacts // never changed once it is here
	recent       []Fact                      // newer than base; appended to copies only
	allowed      []string                    // repositories and prefixes that may be sources; all if empty
	doubted      []string                    // repositories that are of no use as a source
	missed       []string                    // sources that did not hold a blob, once for each
}

// blobFacts is what is known of one blob.
type blobFacts struct {
	presence Presence // before this push: Unproven, Present or Absent
	placed   bool     // by this push
	asked    bool     // in this push
	sources  []Source
}

// maxRecent bounds how many facts a look-up walks through before they are
// folded into the map.
const maxRecent = 64

// NewEvidence returns what is known before the first request: the name of the
// target repository and the traits of its host.
func NewEvidence(target string, traits Traits, facts ...Fact) Evidence {
	e := Evidence{target: target, traits: traits}.With(facts...)
	e.fold()
	return e
}

// Target returns the name of the target repository, without its registry.
func (e Evidence) Target() string { return e.target }

// Traits returns what is known of the host.
func (e Evidence) Traits() Traits { return e.traits }

// WithTraits returns e with t in place of what it knew of the host.
func (e Evidence) WithTraits(t Traits) Evidence {
	e.traits = t
	return e
}

// Standing returns what a look at the target has shown.
func (e Evidence) Standing() Standing { return e.standing }

// Last returns the manifest that the target is remembered to hold, or "".
func (e Evidence) Last() digest.Digest { return e.last }

// With returns e with more facts; e itself stays as it is.
func (e Evidence) With(facts ...Fact) Evidence {
	e.recent, e.doubted, e.missed = slices.Clip(e.recent), slices.Clip(e.doubted), slices.Clip(e.missed) // an append copies them
	for _, f := range facts {
		switch {
		case f.Trait != 0:
			e.traits = e.traits.See(f.Trait, f.Value)
		case f.Limit > 0:
			e.traits = e.traits.SeeLimit(f.Limit, f.Patch)
		case f.Standing != Unlooked:
			e.standing = f.Standing
		case f.Allow != "":
			e.allowed = append(e.allowed[:len(e.allowed):len(e.allowed)], f.Allow)
		case f.DigestAsked:
			e.digestAsked = true
		case f.DigestBelief != NoBelief:
			e.digestBelief = max(e.digestBelief, f.DigestBelief)
		case f.Last != "":
			e.last = f.Last
			if f.Tag != "" {
				e.lastTags = append(slices.Clip(e.lastTags), f.Tag)
			}
		case f.Doubted && f.Blob == "":
			e.doubted = append(e.doubted, f.Source.Repository)
		case f.Blob != "":
			e.recent = append(e.recent, f)
			if f.Doubted {
				e.missed = append(e.missed, f.Source.Repository)
			}
		}
	}
	if len(e.recent) > maxRecent {
		e.fold()
	}
	return e
}

// fold moves the recent facts into a new map.
func (e *Evidence) fold() {
	base := make(map[digest.Digest]blobFacts, len(e.base)+len(e.recent))
	for d, b := range e.base {
		base[d] = b
	}
	for _, f := range e.recent {
		base[f.Blob] = base[f.Blob].with(f)
	}
	e.base, e.recent = base, nil
}

// blob returns what is known of d.
func (e Evidence) blob(d digest.Digest) blobFacts {
	b := e.base[d]
	for _, f := range e.recent {
		if f.Blob == d {
			b = b.with(f)
		}
	}
	return b
}

// with returns b with one more fact; b itself stays as it is.
func (b blobFacts) with(f Fact) blobFacts {
	if f.Asked {
		b.asked = true
		return b
	}
	switch f.Presence {
	case Placed:
		b.placed = true
		return b
	case Present:
		b.presence = Present
		return b
	case Absent:
		b.presence, b.placed = Absent, false
		return b
	}
	sources := make([]Source, 0, len(b.sources)+1)
	belief := f.Source.Belief
	for _, s := range b.sources {
		if s.Repository != f.Source.Repository {
			sources = append(sources, s)
		} else if s.Belief > belief {
			belief = s.Belief
		}
	}
	if !f.Doubted {
		sources = append(sources, Source{f.Source.Repository, belief})
	}
	b.sources = sources
	return b
}

// Presence returns what the registry has said of d in the target as it was
// before this push put anything there.
func (e Evidence) Presence(d digest.Digest) Presence { return e.blob(d).presence }

// Stands says whether the registry has said in this push that the target holds
// d, whoever put it there.
func (e Evidence) Stands(d digest.Digest) bool {
	b := e.blob(d)
	return b.placed || b.presence == Present
}

// Sources returns the repositories that may hold d, best first: by belief,
// then by how much of the target's path they share, then by name. The target
// itself is never among them.
func (e Evidence) Sources(d digest.Digest) []Source {
	var out []Source
	for _, s := range e.blob(d).sources {
		if s.Repository != e.target && s.Repository != "" && !e.isDoubted(s.Repository) && e.Allows(s.Repository) {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Belief != b.Belief {
			return a.Belief > b.Belief
		}
		if x, y := sharedPath(a.Repository, e.target), sharedPath(b.Repository, e.target); x != y {
			return x > y
		}
		return a.Repository < b.Repository
	})
	return out
}

// Allows says whether repository may be a source.
func (e Evidence) Allows(repository string) bool {
	for _, a := range e.allowed {
		if a == repository || strings.HasSuffix(a, "/") && strings.HasPrefix(repository, a) {
			return true
		}
	}
	return len(e.allowed) == 0
}

// Belief returns how sure it is that repository, which may be the target, holds
// d.
func (e Evidence) Belief(d digest.Digest, repository string) Belief {
	for _, s := range e.blob(d).sources {
		if s.Repository == repository {
			return s.Belief
		}
	}
	return NoBelief
}

func (e Evidence) isDoubted(repository string) bool {
	for _, r := range e.doubted {
		if r == repository {
			return true
		}
	}
	return false
}

// misses counts the blobs that repository was believed to hold, and did not.
func (e Evidence) misses(repository string) int {
	n := 0
	for _, r := range e.missed {
		if r == repository {
			n++
		}
	}
	return n
}

// sharedPath counts the leading path components that a and b have in common.
func sharedPath(a, b string) int {
	n := 0
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		if x != y {
			return n
		}
		n++
		if !moreA || !moreB {
			return n
		}
		a, b = restA, restB
	}
}

// At returns a fact: repository is believed to hold the blob d.
func At(d digest.Digest, repository string, b Belief) Fact {
	return Fact{Blob: d, Source: Source{repository, b}}
}

// InTarget returns a fact: the registry has said that the target holds d, or
// that it does not.
func InTarget(d digest.Digest, p Presence) Fact { return Fact{Blob: d, Presence: p} }

// Doubt returns a fact: repository is of no use as a source, since it cannot
// be read with the credential of the target.
func Doubt(repository string) Fact {
	return Fact{Doubted: true, Source: Source{Repository: repository}}
}

// Looked returns a fact: what a look at the target has shown.
func Looked(s Standing) Fact { return Fact{Standing: s} }
