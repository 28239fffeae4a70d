package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
)

// referrers is the image index behind a referrers tag. What others have written
// into it stays as it is.
type referrers struct {
	fields  map[string]json.RawMessage // of the index, but for its manifests
	entries []referrer
}

// referrer is one descriptor in the list.
type referrer struct {
	digest digest.Digest
	raw    json.RawMessage
	own    bool // of a manifest that this push brings
}

// errNoIndex says that something else is behind a referrers tag.
var errNoIndex = errors.New("the referrers tag names something else than an image index")

// parseReferrers reads an index.
func parseReferrers(body []byte) (*referrers, error) {
	l := &referrers{}
	if err := json.Unmarshal(body, &l.fields); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoIndex, err)
	}
	var kind types.MediaType
	if raw, ok := l.fields["mediaType"]; ok && (json.Unmarshal(raw, &kind) != nil || kind != types.OCIImageIndex) {
		return nil, errNoIndex
	}
	var raws []json.RawMessage
	raw, ok := l.fields["manifests"]
	if !ok || json.Unmarshal(raw, &raws) != nil {
		return nil, errNoIndex
	}
	delete(l.fields, "manifests")
	for _, raw := range raws {
		var d struct {
			Digest digest.Digest `json:"digest"`
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoIndex, err)
		}
		l.entries = append(l.entries, referrer{digest: d.Digest, raw: raw})
	}
	return l, nil
}

// add adds the descriptor of a manifest with a subject.
func (l *referrers) add(m inventory.Manifest) error {
	raw, err := json.Marshal(struct {
		MediaType    string            `json:"mediaType"`
		Digest       digest.Digest     `json:"digest"`
		Size         int               `json:"size"`
		ArtifactType string            `json:"artifactType,omitempty"`
		Annotations  map[string]string `json:"annotations,omitempty"`
	}{m.MediaType, m.Digest, len(m.Body), m.ArtifactType, m.Annotations})
	l.entries = append(l.entries, referrer{m.Digest, raw, true})
	return err
}

// has says whether the list names a manifest.
func (l *referrers) has(d digest.Digest) bool {
	return slices.ContainsFunc(l.entries, func(e referrer) bool { return e.digest == d })
}

// merge adds what is missing of other, and says whether anything was.
func (l *referrers) merge(other *referrers) (missing bool) {
	for _, e := range other.entries {
		if !l.has(e.digest) {
			l.entries = append(l.entries, e)
			missing = true
		}
	}
	return missing
}

// copy returns a list of the same entries, without the other fields.
func (l *referrers) copy() *referrers { return &referrers{entries: slices.Clone(l.entries)} }

// drop takes out manifests, of this list and of what is wanted, but for those of
// this push, and says whether any were there.
func (l *referrers) drop(gone []digest.Digest, want *referrers) bool {
	isGone := func(e referrer) bool { return !e.own && slices.Contains(gone, e.digest) }
	before := len(l.entries)
	l.entries = slices.DeleteFunc(l.entries, isGone)
	want.entries = slices.DeleteFunc(want.entries, isGone)
	return len(l.entries) < before
}

// body returns the index.
func (l *referrers) body() ([]byte, error) {
	out := map[string]any{"schemaVersion": 2, "mediaType": types.OCIImageIndex}
	for k, v := range l.fields {
		out[k] = v
	}
	raws := make([]json.RawMessage, len(l.entries))
	for i, e := range l.entries {
		raws[i] = e.raw
	}
	out["manifests"] = raws
	return json.Marshal(out)
}
