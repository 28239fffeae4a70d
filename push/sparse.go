package push

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
)

const (
	// maxSparse bounds how often manifests are found that name further ones which
	// are absent. Indexes are not nested more deeply.
	maxSparse = 8
	// maxSparseSources bounds the repositories in which one manifest is looked for.
	maxSparseSources = 8
)

// missingChild is the error that a manifest is nowhere to be found.
func missingChild(m inventory.Manifest) error {
	return fmt.Errorf("%w: %w", ErrMissingChild, m.Absent)
}

// fill makes sure, before any blob sets out, of the manifests that the image names
// and does not hold: they stand in the target, or another repository of the
// registry holds them, and their blobs are mounted from there.
func (r *run) fill(ctx context.Context) error {
	var found []inventory.Found
	for range maxSparse {
		var mu sync.Mutex // guards more
		var more []inventory.Found
		var g errgroup.Group
		g.SetLimit(r.pusher.options.concurrency)
		for _, m := range r.inv.Manifests {
			if m.Absent == nil || r.stood(m.Digest) {
				continue
			}
			g.Go(func() error {
				f, err := r.findManifest(ctx, m)
				if err != nil || f == nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				more = append(more, *f)
				return nil
			})
		}
		if err := g.Wait(); err != nil || len(more) == 0 {
			return err
		}
		found = append(found, more...)
		inv, err := r.inv.With(found...)
		if err != nil {
			return inventoryError(err)
		}
		r.take(inv, found)
	}
	return nil
}

// findManifest looks for a manifest that the image does not hold. It returns nil
// when the target holds it.
func (r *run) findManifest(ctx context.Context, m inventory.Manifest) (*inventory.Found, error) {
	reference := m.Digest.String()
	if r.known().Standing() != mount.RepoAbsent {
		a := r.count(r.repo.HasManifest(ctx, reference))
		if a.Heard() && !a.OK() && a.Status != http.StatusNotFound { // it forbids HEAD (Artifactory)
			a, _ = r.repo.Manifest(ctx, reference)
			r.count(a)
		}
		switch {
		case a.OK():
			r.learn(mount.InTarget(m.Digest, mount.Present))
			r.mu.Lock()
			defer r.mu.Unlock()
			r.manifests[m.Digest] = true
			return nil, nil
		case !a.Heard():
			return nil, r.failed("look at manifest", m.Digest, a.Failure())
		}
	}
	for _, source := range r.manifestSources(m) {
		a, got := r.repo.SourceManifest(ctx, source, reference)
		r.count(a)
		if got.Body != nil {
			at := inventory.Origin{Registry: r.host.Name(), Repository: source, Belief: mount.Confirmed}
			return &inventory.Found{Digest: m.Digest, MediaType: m.MediaType, Body: got.Body, Source: at}, nil
		}
		if ctx.Err() != nil {
			return nil, r.failed("get manifest", m.Digest, context.Cause(ctx))
		}
	}
	return nil, r.failed("put manifest", m.Digest, missingChild(m))
}

// manifestSources returns the repositories of the registry that may hold a
// manifest, best first: where it was seen, where annotations say that it is, where
// the rest of the image comes from, the other targets, and what the caller named.
func (r *run) manifestSources(m inventory.Manifest) []string {
	host, target := r.host.Name(), r.target.repository.RepositoryStr()
	var all []string
	add := func(repository string) {
		if repository != target && !slices.Contains(all, repository) && r.known().Allows(repository) {
			all = append(all, repository)
		}
	}
	origins := slices.Clone(m.From)
	for _, b := range r.inv.Blobs {
		origins = append(origins, b.From...)
	}
	for _, s := range r.pusher.ledger.Evidence(host, target, []digest.Digest{m.Digest}).Sources(m.Digest) {
		add(s.Repository)
	}
	for _, o := range origins {
		if o.Registry == host {
			add(o.Repository)
		}
	}
	for _, t := range r.homes.targets {
		add(t)
	}
	for _, b := range r.books() {
		add(b.repository)
	}
	for _, s := range r.pusher.options.sources {
		if s.RegistryStr() == host {
			add(s.RepositoryStr())
		}
	}
	return all[:min(len(all), maxSparseSources)]
}

// take goes on with an inventory that knows more manifests. No blob has set out
// yet.
func (r *run) take(inv *inventory.Inventory, found []inventory.Found) {
	r.inv, r.blobs, r.work = inv, make([]mount.Blob, len(inv.Blobs)), nil
	for i, b := range inv.Blobs {
		r.blobs[i] = b.Blob
		r.blobs[i].External = b.External && !r.pusher.options.nondistributable
		r.work = append(r.work, &work{index: i, blob: r.blobs[i]})
	}
	var facts []mount.Fact
	for _, m := range inv.Manifests {
		i := slices.IndexFunc(found, func(f inventory.Found) bool { return f.Digest == m.Digest })
		if i < 0 {
			continue
		}
		for _, b := range m.Blobs {
			facts = append(facts, mount.At(inv.Blobs[b].Digest, found[i].Source.Repository, mount.Confirmed))
		}
	}
	r.learn(facts...)
}
