package mount

import "fmt"

// Trait is a property of a registry host that decides which tries are worth
// their request.
type Trait int

// The traits.
const (
	// MountsFrom: a mount from a repository that holds the blob is answered 201.
	MountsFrom Trait = iota + 1
	// SelfMounts: a mount from the target itself is answered 201 when the
	// target holds the blob, and opens a session when it does not
	// (distribution, zot, olareg).
	SelfMounts
	// Discovers: a mount without a source is answered 201 for a blob that only
	// another repository holds: automatic content discovery (zot with
	// deduplication, Gitea).
	Discovers
	// SeesTarget: a mount without a source is answered 201 for a blob that the
	// target holds (olareg, zot without deduplication).
	SeesTarget
	// TakesAny: a mount without a source is answered 201 or 202, not refused
	// (Quay refused it with 400 until 2021).
	TakesAny
	// MissOpens: a mount that misses opens a session (cue's registry answers
	// 404, Harbor 401 or 400).
	MissOpens
	// Heads: HEAD of a blob is answered 200 or 404, not refused.
	Heads
	// Resumes: a session that was cut says where it stands and takes the rest
	// (distribution 3, olareg).
	Resumes
	// SinglePost: a POST with digest= and the content stores the blob at once (zot,
	// olareg, ggcr). It is only tried where it is known to work, since a host that
	// ignores the content has been sent it in vain.
	SinglePost
	// Phantoms: a mount was answered 201 and the blob did not arrive (GHCR when it
	// throttles), so that a 201 has to be verified.
	Phantoms
	// MountsUnreferenced: a blob can be mounted from a repository where no
	// manifest names it yet (not on ECR).
	MountsUnreferenced
	// TagParams: a manifest that is put by its digest gets the tags that its
	// parameters name (zot, olareg).
	TagParams
	// Lists: the host lists the manifests that refer to another by itself, so that
	// no tag has to be kept for that (OCI-Subject: zot, olareg).
	Lists
	// Cancels: a session can be deleted (ggcr answers 400, others 405).
	Cancels
	// Validates: a manifest that names a blob which the repository does not hold is
	// refused, so that the manifest verifies what was mounted.
	Validates
	// NamesMissing: such a refusal names the blob (not zot's, nor ECR's).
	NamesMissing
	// Strays: a blob that the manifest which the target held last does not name was
	// in the target all the same. That depends on what is pushed to the host, and
	// how often it was seen says how likely it is.
	Strays

	numTraits
)

// Valid says whether t is one of the traits. They are numbered from 1.
func (t Trait) Valid() bool { return t > 0 && t < numTraits }

// Rate says whether t is something that happens now and then, rather than a way
// of the host that is or is not so: every observation counts.
func (t Trait) Rate() bool { return t == Strays }

// String returns the name of the trait.
func (t Trait) String() string {
	names := [numTraits]string{
		MountsFrom: "mounts from", SelfMounts: "self-mounts", Discovers: "discovers", SeesTarget: "sees its target",
		TakesAny: "takes a mount without from", MissOpens: "opens a session on a miss", Heads: "answers HEAD", Resumes: "resumes uploads",
		SinglePost: "takes a blob in one POST", Phantoms: "phantom mounts", MountsUnreferenced: "mounts what no manifest names",
		TagParams: "takes tags as parameters", Lists: "lists referrers",
		Cancels: "cancels sessions", Validates: "checks the blobs of manifests", NamesMissing: "names missing blobs",
		Strays: "strays",
	}
	if t > 0 && t < numTraits {
		return names[t]
	}
	return fmt.Sprintf("Trait(%d)", int(t))
}

// Seen counts how often a trait was seen to be so, and not to be so.
type Seen struct{ Yes, No int }

// Traits is what is known of a host. The zero value knows nothing. It is a
// value: See returns a changed copy.
type Traits struct {
	seen [numTraits]Seen
	// putLimit is the smallest PUT in bytes that was refused with 413, bodyLimit
	// the smallest PATCH; 0 if none was.
	putLimit, bodyLimit int64
}

// Of returns how often t was seen.
func (h Traits) Of(t Trait) Seen {
	if t <= 0 || t >= numTraits {
		return Seen{}
	}
	return h.seen[t]
}

// Known says whether t was ever seen, and what it was seen to be more often.
func (h Traits) Known(t Trait) (value, known bool) {
	s := h.Of(t)
	return s.Yes >= s.No, s.Yes+s.No > 0
}

// See returns h with one more observation of t.
func (h Traits) See(t Trait, value bool) Traits {
	switch {
	case t <= 0 || t >= numTraits:
	case value:
		h.seen[t].Yes++
	default:
		h.seen[t].No++
	}
	return h
}

// With returns h with t seen as often as s says, whatever was seen before.
func (h Traits) With(t Trait, s Seen) Traits {
	if t.Valid() {
		h.seen[t] = s
	}
	return h
}

// PutLimit returns the smallest PUT in bytes that the host refused with 413, 0
// if it refused none.
func (h Traits) PutLimit() int64 { return h.putLimit }

// BodyLimit returns the smallest PATCH in bytes that the host refused with 413,
// 0 if it refused none.
func (h Traits) BodyLimit() int64 { return h.bodyLimit }

// SeeLimit returns h with the knowledge that a body of size bytes was refused: a
// PUT, or a PATCH as well.
func (h Traits) SeeLimit(size int64, patch bool) Traits {
	limit := &h.putLimit
	if patch {
		limit = &h.bodyLimit
	}
	if *limit == 0 || size < *limit {
		*limit = size
	}
	return h
}

// What a prior weighs, in observations. A registry hardly ever changes its ways.
const (
	wayWeight  = 0.1
	rateWeight = 1
)

// probability returns how likely t is, given a prior.
func (h Traits) probability(t Trait, prior float64) float64 {
	weight := wayWeight
	if t.Rate() {
		weight = rateWeight
	}
	s := h.Of(t)
	return (prior*weight + float64(s.Yes)) / (weight + float64(s.Yes+s.No))
}
