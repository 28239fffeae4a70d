package mount

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestTagsAtOnce: one PUT for all tags is worth it where it saves more requests
// than it risks.
func TestTagsAtOnce(t *testing.T) {
	yes, no := Traits{}.See(TagParams, true), Traits{}.See(TagParams, false)
	for _, c := range []struct {
		name   string
		traits Traits
		n      int
		want   bool
	}{
		{"unknown, no tag", Traits{}, 0, false},
		{"unknown, one tag", Traits{}, 1, false},
		{"unknown, three tags", Traits{}, 3, false},
		{"unknown, five tags cost as much either way", Traits{}, 5, false},
		{"unknown, six tags", Traits{}, 6, true},
		{"taken, one tag is put by its name", yes, 1, false},
		{"taken, two tags", yes, 2, true},
		{"ignored, many tags", no, 100, false},
		{"ignored once and taken since", no.See(TagParams, true), 2, true},
	} {
		if got := TagsAtOnce(c.traits, c.n); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestLearnTags(t *testing.T) {
	for _, c := range []struct {
		name       string
		asked, set []string
		want       []Fact
	}{
		{"by tag, silent", nil, nil, nil},
		{"by tag, named", nil, []string{"a"}, []Fact{{Trait: TagParams, Value: true}}},
		{"all set", []string{"a", "b"}, []string{"b", "a"}, []Fact{{Trait: TagParams, Value: true}}},
		{"some set", []string{"a", "b"}, []string{"a"}, []Fact{{Trait: TagParams, Value: true}}},
		{"none set", []string{"a", "b"}, nil, []Fact{{Trait: TagParams, Value: false}}},
		{"others set", []string{"a"}, []string{"c"}, []Fact{{Trait: TagParams, Value: false}}},
	} {
		if got := LearnTags(c.asked, c.set); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	for _, noted := range []bool{true, false} {
		if got := LearnSubject(noted); !slices.Equal(got, []Fact{{Trait: Lists, Value: noted}}) {
			t.Errorf("subject: %+v", got)
		}
	}
}

// TestConcerns has the answers of known registries to a tag that must not move,
// and others that look like them.
func TestConcerns(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		code   string
		text   string
		want   Concern
	}{
		{"ECR", 400, "TAG_INVALID", "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable.", ConcernsMove},
		{"ECR, newer", 400, "TAG_INVALID", "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.", ConcernsMove},
		{"ECR, same image", 400, "ImageAlreadyExistsException", "", ConcernsMove},
		{"ECR, exception", 400, "UNKNOWN", "ImageTagAlreadyExistsException: the tag is taken", ConcernsMove},
		{"Artifact Registry", 400, "MANIFEST_INVALID", "cannot update tag v1. The repository has enabled tag immutability", ConcernsMove},
		{"Harbor", 412, "PRECONDITION", "Failed to process request due to 'app:v1' configured as immutable.", ConcernsMove},
		{"Harbor 1.10", 403, "DENIED", "Failed to process request, due to 'app:v1' is a immutable tag.", ConcernsMove},
		{"ACR", 405, "REGISTRY_DISALLOWED_OPERATION", "The operation is disallowed on this registry, repository or image.", ConcernsMove},
		{"409", 409, "UNKNOWN", "tag is immutable", ConcernsMove},
		{"a tag that is no tag", 400, "TAG_INVALID", "manifest tag did not match URI", ConcernsTag},
		{"protected tag", 403, "DENIED", "requested access to the resource is denied", ConcernsReference},
		{"no right", 401, "UNAUTHORIZED", "authentication required", ConcernsReference},
		{"who knows", 400, "UNKNOWN", "bad request", ConcernsReference},
		{"too many tags", 414, "MANIFEST_INVALID", "too many tag query parameters", ConcernsReference},
		{"manifest", 400, "MANIFEST_INVALID", "manifest invalid", ConcernsAll},
		{"missing blobs", 400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", ConcernsAll},
		{"quota", 403, "QUOTA_EXCEEDED", "no space", ConcernsAll},
		{"too large", 413, "", "", ConcernsAll},
		{"rate limit", 429, "TOOMANYREQUESTS", "the limit is immutable", ConcernsAll},
		{"no repository", 404, "NAME_UNKNOWN", "", ConcernsAll},
		{"broken", 500, "UNKNOWN", "the database is immutable", ConcernsAll},
		{"unheard", 0, "", "", ConcernsAll},
	} {
		r := Refusal{Status: c.status, Codes: []string{c.code}, Texts: []string{c.text}}
		if got := r.Concerns(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRepairChildren(t *testing.T) {
	a, b, other := digest.FromString("a"), digest.FromString("b"), digest.FromString("other")
	for _, c := range []struct {
		name     string
		refusal  Refusal
		believed []bool
		round    int
		want     []int
	}{
		{"one is named", Refusal{Status: 400, Codes: []string{"MANIFEST_BLOB_UNKNOWN"}, Missing: []digest.Digest{b}}, []bool{true, true}, 0, []int{1}},
		{"one is named that was put", Refusal{Status: 400, Missing: []digest.Digest{b}}, []bool{true, false}, 1, []int{1}},
		{"a blob is named", Refusal{Status: 400, Codes: []string{"MANIFEST_BLOB_UNKNOWN"}, Missing: []digest.Digest{other}}, []bool{true, true}, 0, nil},
		{"nothing is named", Refusal{Status: 400, Codes: []string{"MANIFEST_INVALID"}}, []bool{true, false}, 0, []int{0}},
		{"nothing is named, all were put", Refusal{Status: 400, Codes: []string{"MANIFEST_INVALID"}}, []bool{false, false}, 0, nil},
		{"nothing is named, again", Refusal{Status: 400, Codes: []string{"MANIFEST_INVALID"}}, []bool{true, true}, 1, nil},
		{"not found", Refusal{Status: 404}, []bool{true, true}, 0, []int{0, 1}},
		{"denied", Refusal{Status: 403}, []bool{true, true}, 0, nil},
		{"enough", Refusal{Status: 400, Missing: []digest.Digest{a}}, []bool{true, true}, maxRounds, nil},
	} {
		if got := RepairChildren(c.refusal, []digest.Digest{a, b}, c.believed, c.round); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
