package mount

import "slices"

// Look is a request that asks about the target as a whole.
type Look int

// The looks.
const (
	NoLook     Look = iota
	LookTag         // GET of the manifest behind the tag: it proves what it names, or that the image stands
	LookLast        // GET of the manifest that the target is remembered to hold: it proves what it names
	LookDigest      // HEAD of the image's digest: if it stands, so do all its blobs
	LookTags        // the list of tags, one of them: does the repository exist at all?
)

// String returns the name of the look as logs write it.
func (l Look) String() string {
	switch l {
	case LookTag:
		return "look at the tag"
	case LookLast:
		return "look at the last manifest"
	case LookDigest:
		return "look at the digest"
	case LookTags:
		return "look at the tags"
	}
	return "no look"
}

// FirstLook returns the look that a push under a tag begins with: LookTag, or
// LookLast when that is likely to prove more.
//
// Whatever stands behind the tag, or was last put beside it, proves the blobs
// that a rebuild has in common with it, for one request. The tag also shows an
// image that stands already, and is never out of date. But a tag that was not
// used lately is mostly a new one (a version, a commit, the number of a build):
// then the look at it costs a request and proves nothing, and the last manifest is
// asked for all the same.
func (e Evidence) FirstLook(tag string) Look {
	switch {
	case e.last == "" || len(e.lastTags) == 0 || slices.Contains(e.lastTags, tag):
		return LookTag
	case e.digestBelief != NoBelief:
		return LookTag // the image itself may stand
	}
	return LookLast
}
