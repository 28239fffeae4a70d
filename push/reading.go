package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

const (
	// maxObserved bounds the manifests that Observe reads.
	maxObserved = 1 + 64
	// maxConsulted bounds those that a push reads of one source.
	maxConsulted = 1 + 8
)

// reading learns what a repository holds from its manifests.
type reading struct {
	repo       *transport.Repository
	repository string         // whose manifests are read
	platforms  []*v1.Platform // for which images of an index are read; none: for all
	left       int            // manifests that may still be read
	seen       map[string]bool
	blobs      []digest.Digest // that the manifests name
	requests   int             // that were made
}

// read reads a manifest and those below it that are wanted. What it had read
// before an error is kept, and one that is left out below is no error.
func (r *reading) read(ctx context.Context, reference string) error {
	if r.left == 0 || r.seen[reference] {
		return nil
	}
	r.left--
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[reference] = true
	a, m := r.repo.SourceManifest(ctx, r.repository, reference)
	r.requests += a.Requests
	if !a.Heard() || a.Status != http.StatusOK {
		return a.Failure()
	}
	if m.Body == nil {
		return fmt.Errorf("manifest %s: %w", reference, errNotItsDigest)
	}
	var doc manifestParts
	if err := json.Unmarshal(m.Body, &doc); err != nil {
		return fmt.Errorf("manifest %s: %w", reference, err)
	}
	for _, d := range append(doc.Layers, doc.Config) {
		if d.Digest.Hex != "" && d.MediaType.IsDistributable() {
			r.blobs = append(r.blobs, digest.Digest(d.Digest.String()))
		}
	}
	var failed error
	for _, child := range doc.Manifests {
		if !r.wants(child.Platform) {
			continue
		}
		if err := r.read(ctx, child.Digest.String()); err != nil && failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// errNotItsDigest is about a manifest from a registry.
var errNotItsDigest = errors.New("its content is not what its digest says")

// wants says whether the image of an index that is for a platform is worth
// reading. All are where it is not said for which they are; none that is for no
// platform, such as an attestation.
func (r *reading) wants(platform *v1.Platform) bool {
	switch {
	case platform == nil:
		return true
	case len(r.platforms) == 0:
		return platform.OS != "unknown"
	}
	return slices.ContainsFunc(r.platforms, func(p *v1.Platform) bool { return inventory.SamePlatform(platform, p) })
}

// facts returns what was learned.
func (r *reading) facts() []mount.Fact {
	var facts []mount.Fact
	for _, d := range r.blobs {
		facts = append(facts, mount.At(d, r.repository, mount.Confirmed))
	}
	return facts
}

// manifestParts is what an image manifest or an index names.
type manifestParts struct {
	Config    v1.Descriptor   `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Manifests []v1.Descriptor `json:"manifests"`
}
