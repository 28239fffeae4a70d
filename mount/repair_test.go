package mount

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestRepair(t *testing.T) {
	blobs := imageOf(0, 0, 2, 1000) // 0 and 1 are layers, 2 is the config
	blobs = append(blobs, Blob{Digest: dig(9), External: true})
	missing := Refusal{Status: 400, Codes: []string{"MANIFEST_BLOB_UNKNOWN"}}
	naming := func(n int) Refusal {
		return Refusal{Status: 404, Codes: []string{"BLOB_UNKNOWN"}, Missing: []digest.Digest{dig(n)}}
	}
	mixed := []Disposition{Mounted, Stands, Uploaded, Skipped}
	sent := []Disposition{Uploaded, Uploaded, Uploaded, Skipped}
	check, force := Policy{Strict: true, NoMounts: true}, Policy{Strict: true, NoMounts: true, Force: true}
	for _, c := range []struct {
		name    string
		refusal Refusal
		how     []Disposition
		round   int
		want    Remedy
		ok      bool
	}{
		{"what came without bytes is checked", missing, mixed, 0, Remedy{Blobs: []int{0, 1}, Policy: check}, true},
		{"and then sent", missing, mixed, 1, Remedy{Blobs: []int{0, 1}, Policy: force}, true},
		{"a blob that is named is sent at once", naming(1), mixed, 0, Remedy{Blobs: []int{1}, Policy: force}, true},
		{"a name of no blob of the image", naming(77), mixed, 0, Remedy{Blobs: []int{0, 1}, Policy: check}, true},
		{"zot names none", Refusal{Status: 400, Codes: []string{"MANIFEST_INVALID"}}, mixed, 0, Remedy{Blobs: []int{0, 1}, Policy: check}, true},
		{"ECR", Refusal{Status: 404, Codes: []string{"BLOB_UPLOAD_UNKNOWN"}}, mixed, 0, Remedy{Blobs: []int{0, 1}, Policy: check}, true},
		{"404 without a code", Refusal{Status: 404}, mixed, 0, Remedy{Blobs: []int{0, 1}, Policy: check}, true},
		{"500", Refusal{Status: 500}, mixed, 0, Remedy{Blobs: []int{0, 1}, Policy: check}, true},
		{"all was sent, and it misses some: wait", missing, sent, 0, Remedy{Policy: check, Pause: 0.5}, true},
		{"wait longer", missing, sent, 1, Remedy{Policy: force, Pause: 2}, true},
		{"the last wait", missing, sent, 2, Remedy{Policy: force, Pause: 8}, true},
		{"one that was sent is named", naming(2), mixed, 0, Remedy{Policy: force, Pause: 0.5}, true},
		{"enough", missing, mixed, 3, Remedy{}, false},
		{"all was sent, and nothing is said to miss", Refusal{Status: 500}, sent, 0, Remedy{Policy: check, Pause: 0.5}, true},
		{"and again", Refusal{Status: 500}, sent, 1, Remedy{}, false},
		{"another digest was stored", Refusal{Status: 201}, sent, 0, Remedy{Policy: Policy{}, Pause: 0.5}, true},
		{"the manifest is at fault", Refusal{Status: 400, Codes: []string{"MANIFEST_INVALID"}}, sent, 0, Remedy{}, false},
		{"denied", Refusal{Status: 403, Codes: []string{"DENIED"}}, mixed, 0, Remedy{}, false},
		{"a bad request of another kind", Refusal{Status: 400, Codes: []string{"TAG_INVALID"}}, mixed, 0, Remedy{}, false},
	} {
		got, ok := Repair(c.refusal, blobs, c.how, Policy{}, c.round)
		if ok != c.ok || !slices.Equal(got.Blobs, c.want.Blobs) || got.Policy != c.want.Policy || got.Pause != c.want.Pause {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}
