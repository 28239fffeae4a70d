package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// maxChildren bounds how many images of an index are read to learn what a
// repository holds.
const maxChildren = 8

// book is a manifest that may be read to learn what its repository holds.
type book struct {
	repository, reference string
}

// Observe reads the manifest behind ref, and those below it, and remembers which
// blobs the repository holds: later pushes to the same registry may mount them
// from there. No layer is read. It takes one request, and one more for each
// image of an index.
func (p *Pusher) Observe(ctx context.Context, ref name.Reference) error {
	if ref == nil {
		return &Error{Op: "observe", Err: fmt.Errorf("%w: it is nil", ErrReference)}
	}
	repo := ref.Context()
	h := p.host(repo.Registry)
	defer p.leave(repo.Registry)
	at := []group{{registry: repo.Registry}}
	p.keeper.recall(ctx, at)
	r := h.Repository(repo, auth.Scope{})
	blobs, a, err := read(ctx, r, book{repo.RepositoryStr(), ref.Identifier()}, nil)
	if err != nil {
		return &Error{Op: "observe", Ref: ref.Name(), Err: err}
	}
	if len(blobs) == 0 {
		return &Error{Op: "observe", Ref: ref.Name(), Err: a.Failure()}
	}
	var facts []mount.Fact
	for d := range blobs {
		facts = append(facts, mount.At(d, repo.RepositoryStr(), mount.Confirmed))
	}
	p.ledger.Record(h.Name(), repo.RepositoryStr(), facts...)
	p.keeper.keep(ctx, at)
	return nil
}

// consult reads the manifests that may say where the blobs are: of the images
// that the image says it was built on, and of those that the caller named. Each
// is read once by a Pusher, and only where that is worth its request.
func (r *run) consult(ctx context.Context) error {
	if r.policy.NoMounts || r.policy.Force {
		return nil
	}
	for _, b := range r.books() {
		if !r.plan(r.policy).WorthReading(b.repository) || !r.pusher.open(r.host.Name(), b) {
			continue
		}
		blobs, a, err := read(ctx, r.repo, b, r.platforms())
		r.count(a)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || len(blobs) == 0 {
			r.pusher.options.log.Debug("not read", "repository", b.repository, "reference", b.reference, "status", a.Status, "err", err)
			continue
		}
		var facts []mount.Fact
		for d := range blobs {
			facts = append(facts, mount.At(d, b.repository, mount.Confirmed))
		}
		r.learn(facts...)
	}
	return nil
}

// books returns the manifests that may be worth reading, on the registry of the
// target, the target itself not among them.
func (r *run) books() []book {
	var out []book
	add := func(b book) {
		if b.repository != "" && b.repository != r.target.repository.RepositoryStr() && r.known().Allows(b.repository) {
			out = append(out, b)
		}
	}
	for _, m := range r.inv.Manifests {
		if m.Base == nil || m.Base.Registry != r.host.Name() {
			continue
		}
		reference := m.Base.Reference
		if m.Base.Digest != "" {
			reference = m.Base.Digest.String()
		}
		add(book{m.Base.Repository, reference})
	}
	for _, ref := range r.pusher.options.bases {
		if ref.Context().RegistryStr() == r.host.Name() {
			add(book{ref.Context().RepositoryStr(), ref.Identifier()})
		}
	}
	return out
}

// platforms returns the platforms of the images, as far as they say which they are
// for.
func (r *run) platforms() []*v1.Platform {
	var out []*v1.Platform
	for _, m := range r.inv.Manifests {
		if p := r.inv.PlatformOf(m); p != nil {
			out = append(out, p)
		}
	}
	return out
}

// wanted says whether the image of an index that is for the platform said is worth
// reading for images for the given platforms. All are, where it is not said.
func wanted(said *v1.Platform, platforms []*v1.Platform) bool {
	return said == nil || len(platforms) == 0 ||
		slices.ContainsFunc(platforms, func(p *v1.Platform) bool { return inventory.SamePlatform(said, p) })
}

// open says whether a manifest has not been read by this Pusher yet.
func (p *Pusher) open(host string, b book) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := host + "/" + b.repository + "@" + b.reference
	if p.read[key] {
		return false
	}
	if len(p.read) >= maxBooks {
		clear(p.read)
	}
	p.read[key] = true
	return true
}

// maxBooks bounds how many manifests a Pusher remembers to have read.
const maxBooks = 4096

// read returns the blobs that a manifest names: of an index, those of the images
// for the given platforms, or of all of them if none is given.
func read(ctx context.Context, r *transport.Repository, b book, platforms []*v1.Platform) (map[digest.Digest]bool, transport.Answer, error) {
	a, m := r.SourceManifest(ctx, b.repository, b.reference)
	if !a.Heard() {
		return nil, a, a.Failure()
	}
	if a.Status != http.StatusOK || m.Body == nil {
		return nil, a, nil
	}
	var doc struct {
		Config    v1.Descriptor   `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(m.Body, &doc); err != nil {
		return nil, a, errors.Join(errors.New("manifest is no JSON"), err)
	}
	blobs := map[digest.Digest]bool{}
	for _, d := range append(doc.Layers, doc.Config) {
		if d.Digest.Hex != "" && d.MediaType.IsDistributable() {
			blobs[digest.Digest(d.Digest.String())] = true
		}
	}
	children := 0
	for _, child := range doc.Manifests {
		if !wanted(child.Platform, platforms) {
			continue
		}
		if children++; children > maxChildren {
			break
		}
		below, answer, err := read(ctx, r, book{b.repository, child.Digest.String()}, platforms)
		a.Requests += answer.Requests
		if err != nil {
			return blobs, a, err
		}
		for d := range below {
			blobs[d] = true
		}
	}
	return blobs, a, nil
}
