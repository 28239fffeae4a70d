package push

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// publish puts the manifests, children before their parents, and then the
// references. A reference moves only when all below it stands.
func (r *run) publish(ctx context.Context) error {
	if err := r.publishChildren(ctx); err != nil {
		return err
	}
	root := r.inv.Root()
	first := 0
	for first < len(r.refs) && r.refs[first].Stands {
		first++
	}
	if first == len(r.refs) {
		return nil
	}
	unchanged := first > 0 || r.stood(root.Digest)
	if err := r.putRef(ctx, root, first, unchanged); err != nil {
		r.refs[first].Err = err
		if !r.stood(root.Digest) {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(r.pusher.options.concurrency)
	for i := first + 1; i < len(r.refs); i++ {
		g.Go(func() error {
			r.refs[i].Err = r.putRef(ctx, root, i, unchanged)
			return nil
		})
	}
	return g.Wait()
}

// stood says whether a manifest is known to stand in the target.
func (r *run) stood(d digest.Digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.manifests[d]
}

// publishChildren puts all manifests but the root, each level at once.
func (r *run) publishChildren(ctx context.Context) error {
	for _, level := range levels(r.inv.Manifests) {
		var g errgroup.Group
		g.SetLimit(r.pusher.options.concurrency)
		for _, m := range level {
			if r.stood(m.Digest) && !r.policy.Force {
				continue
			}
			g.Go(func() error { return r.putManifest(ctx, m, m.Digest.String()) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// levels sorts all manifests but the root so that each level needs only those
// before it.
func levels(manifests []inventory.Manifest) [][]inventory.Manifest {
	var out [][]inventory.Manifest
	depth := make([]int, len(manifests))
	for i, m := range manifests[:len(manifests)-1] {
		for _, c := range m.Children {
			depth[i] = max(depth[i], depth[c]+1)
		}
		for len(out) <= depth[i] {
			out = append(out, nil)
		}
		out[depth[i]] = append(out[depth[i]], m)
	}
	return out
}

// putRef makes one reference stand. When the image stood before, it may already
// be there: then a question saves a write.
func (r *run) putRef(ctx context.Context, root inventory.Manifest, i int, unchanged bool) error {
	ref := r.target.refs[i]
	_, byDigest := ref.(name.Digest)
	if unchanged && !r.policy.Force && i > 0 {
		a := r.count(r.repo.HasManifest(ctx, ref.Identifier()))
		if a.OK() && a.Digest == root.Digest {
			r.refs[i].Stands, r.refs[i].Unchanged = true, true
			return nil
		}
	}
	if byDigest && r.stood(root.Digest) && !r.policy.Force {
		r.refs[i].Stands, r.refs[i].Unchanged = true, unchanged
		return nil
	}
	if err := r.putManifest(ctx, root, ref.Identifier()); err != nil {
		return err
	}
	r.refs[i].Stands = true
	return nil
}

// putManifest puts one manifest. When the registry misses blobs that were
// believed to stand, they are brought for real, and it is put again.
func (r *run) putManifest(ctx context.Context, m inventory.Manifest, reference string) error {
	for round := 0; ; round++ {
		a := r.count(r.repo.PutManifest(ctx, reference, m.MediaType, m.Body))
		if a.OK() && !another(a, m) {
			r.accepted(m)
			return nil
		}
		if ctx.Err() != nil {
			return r.failed("put manifest", m.Digest, context.Cause(ctx))
		}
		repaired, err := r.repair(ctx, m, a, round)
		switch {
		case err != nil:
			return err
		case !repaired && a.OK():
			return r.failed("put manifest", m.Digest, fmt.Errorf("the registry stored %s instead", a.Digest))
		case !repaired:
			return r.failed("put manifest", m.Digest, a.Failure())
		}
	}
}

// another says whether a registry says that it stored another manifest.
func another(a transport.Answer, m inventory.Manifest) bool {
	return a.Digest != "" && a.Digest != m.Digest && a.Digest.Algorithm() == m.Digest.Algorithm()
}

// accepted notes that a manifest stands.
func (r *run) accepted(m inventory.Manifest) {
	r.learn(mount.InTarget(m.Digest, mount.Placed))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifests[m.Digest] = true
}

// repair does what is worth doing before a refused manifest is put again. It
// returns false when the refusal is final.
func (r *run) repair(ctx context.Context, m inventory.Manifest, a transport.Answer, round int) (bool, error) {
	refusal := mount.Refusal{Status: a.Status, Missing: a.Missing()}
	for _, e := range a.Errors {
		refusal.Codes = append(refusal.Codes, string(e.Code))
	}
	blobs := r.below(m)
	named := make([]mount.Blob, len(blobs))
	how := make([]mount.Disposition, len(blobs))
	for i, b := range blobs {
		named[i], how[i] = r.blobs[b], r.work[b].how
	}
	remedy, ok := mount.Repair(refusal, named, how, r.policy, round)
	if !ok {
		return false, nil
	}
	r.pusher.options.log.Debug("repair", "target", r.target.repository.Name(), "status", a.Status,
		"blobs", len(remedy.Blobs), "pause", remedy.Pause)
	order := make([]int, len(remedy.Blobs))
	for i, b := range remedy.Blobs {
		order[i] = blobs[b]
		r.work[order[i]].round = len(r.work[order[i]].outcomes)
	}
	if err := pause(ctx, remedy.Pause); err != nil {
		return false, err
	}
	if len(order) > 0 {
		r.mu.Lock()
		r.repaired++
		r.mu.Unlock()
	}
	sortBySize(order, r.blobs)
	return true, r.settleAll(ctx, order, remedy.Policy)
}

// below returns the indexes of the blobs that a manifest names.
func (r *run) below(m inventory.Manifest) []int { return m.Blobs }

// pause waits for some seconds or until the push is cancelled.
func pause(ctx context.Context, seconds float64) error {
	t := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
