package mount

import (
	"slices"
	"strings"
)

// priorTagParams is how likely a host of which nothing is known takes tags as
// parameters: the specification has them since 2026, and most ignore them.
const priorTagParams = 0.2

// TagsAtOnce says whether it is worth setting n tags with one manifest PUT by
// digest. If the host takes them, that is all; if it ignores them, the image
// stands, and a PUT for each tag follows: one request was wasted. So where nothing
// is known, it is tried with many tags, and what it came back with is learned.
func TagsAtOnce(t Traits, n int) bool {
	if takes, known := t.Known(TagParams); known {
		return takes && n > 1
	}
	return priorTagParams*float64(n) > 1
}

// LearnTags returns what the answer to a manifest PUT that went well has shown,
// where asked are the tags in its parameters and set those that the host says it
// has set. One that sets some has a limit, and is asked again; one that says so
// of a PUT by tag knows how to (olareg).
func LearnTags(asked, set []string) []Fact {
	for _, tag := range asked {
		if slices.Contains(set, tag) {
			return []Fact{see(TagParams, true)}
		}
	}
	switch {
	case len(asked) > 0:
		return []Fact{see(TagParams, false)}
	case len(set) > 0:
		return []Fact{see(TagParams, true)}
	}
	return nil
}

// LearnTagsRefused returns what the refusal of a PUT with tags as parameters has
// shown: that the host takes none, unless it is in trouble, or a tag is to blame.
// It is of no account after a rate limit.
func LearnTagsRefused(r Refusal) []Fact {
	if c := r.Concerns(); r.Status >= 500 || c == ConcernsTag || c == ConcernsMove {
		return nil
	}
	return []Fact{see(TagParams, false)}
}

// LearnSubject returns what the answer to the PUT of a manifest with a subject has
// shown: whether the host has taken note of it.
func LearnSubject(noted bool) []Fact { return []Fact{see(Lists, noted)} }

// Concern is what a refused manifest PUT is about: whether it is worth putting the
// same manifest under another reference.
type Concern int

// The concerns.
const (
	ConcernsAll       Concern = iota // the manifest, the repository or the registry: no other reference would do better
	ConcernsReference                // it cannot be told; perhaps a rule protects the tag (GitLab, Harbor)
	ConcernsTag                      // the tag alone
	ConcernsMove                     // the tag stands with another manifest, and must not move
)

// Concerns says what a refusal is about.
func (r Refusal) Concerns() Concern {
	switch {
	case r.Status < 400 || r.Status >= 500 || r.Status == 404 || r.Status == 408 || r.Status == 413 || r.Status == 429:
		return ConcernsAll
	case r.immutable():
		return ConcernsMove
	case r.Status == 414: // too many tags at once (zot: with MANIFEST_INVALID)
		return ConcernsReference
	case r.has("TAG_INVALID"):
		return ConcernsTag
	}
	for _, c := range [...]string{
		"MANIFEST_INVALID", "MANIFEST_UNVERIFIED", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN",
		"DIGEST_INVALID", "SIZE_INVALID", "NAME_INVALID", "NAME_UNKNOWN", "QUOTA_EXCEEDED",
	} {
		if r.has(c) {
			return ConcernsAll
		}
	}
	return ConcernsReference
}

// immutable says whether a refusal speaks of a tag that must not move. There is no
// code for it, so words decide: ECR has 400 TAG_INVALID with "… already exists …
// and cannot be overwritten because the repository is immutable" and, for the
// same image, ImageAlreadyExistsException; Artifact Registry 400 MANIFEST_INVALID
// with "… has enabled tag immutability"; Harbor 412 with "… configured as
// immutable"; ACR 405 REGISTRY_DISALLOWED_OPERATION for a tag that is locked.
func (r Refusal) immutable() bool {
	for _, text := range slices.Concat(r.Codes, r.Texts) {
		text = strings.ToLower(text)
		for _, words := range [...]string{
			"immutab", "cannot be overwritten", "tagalreadyexists", "imagealreadyexists", "disallowed_operation", "tag is locked",
		} {
			if strings.Contains(text, words) {
				return true
			}
		}
	}
	return false
}
