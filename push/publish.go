package push

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// publish puts the manifests, children before their parents, and then the
// references. A reference moves only when all below it stands.
func (r *run) publish(ctx context.Context) error {
	err := r.publishChildren(ctx)
	if err == nil {
		err = r.publishRefs(ctx, r.inv.Root())
	}
	r.refer(ctx)
	return err
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
			if m.Absent != nil || r.stood(m.Digest) && !r.policy.Force {
				continue
			}
			g.Go(func() error { return r.putChild(ctx, m) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// putChild puts a manifest under its digest.
func (r *run) putChild(ctx context.Context, m inventory.Manifest) error {
	if m.Absent != nil {
		return r.failed("put manifest", m.Digest, missingChild(m))
	}
	_, err := r.putManifest(ctx, m, m.Digest.String())
	return err
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

// putManifest puts one manifest, with a digest as its reference also under tags,
// as far as the registry sets them. When the registry misses what was believed to
// stand, it is brought for real, and the manifest is put again. The answer is the
// last one.
func (r *run) putManifest(ctx context.Context, m inventory.Manifest, reference string, tags ...string) (transport.Answer, error) {
	for round := 0; ; round++ {
		a := r.count(r.repo.PutManifest(ctx, reference, m.MediaType, m.Body, tags...))
		if a.OK() && !another(a, m) {
			r.accepted(m, a)
			if facts := mount.LearnTags(tags, tagsSet(a)); len(facts) > 0 {
				r.learn(facts...)
			}
			return a, nil
		}
		if ctx.Err() != nil {
			return a, r.failed("put manifest", m.Digest, context.Cause(ctx))
		}
		repaired, err := r.repair(ctx, m, refusalOf(a), round)
		switch {
		case err != nil:
			return a, err
		case !repaired && a.OK():
			return a, r.failed("put manifest", m.Digest, fmt.Errorf("the registry stored %s instead", a.Digest))
		case !repaired:
			return a, r.failed("put manifest", m.Digest, a.Failure())
		}
	}
}

// another says whether a registry says that it stored another manifest.
func another(a transport.Answer, m inventory.Manifest) bool {
	return a.Digest != "" && a.Digest != m.Digest && a.Digest.Algorithm() == m.Digest.Algorithm()
}

// accepted notes that a manifest stands, since it was put.
func (r *run) accepted(m inventory.Manifest, a transport.Answer) {
	r.learn(mount.InTarget(m.Digest, mount.Placed))
	noted := m.Subject != "" && a.Subject() == m.Subject
	if m.Subject != "" {
		r.learn(mount.LearnSubject(noted)...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifests[m.Digest] = true
	if r.put == nil {
		r.put = map[digest.Digest]bool{}
	}
	r.put[m.Digest] = noted
}

// refusalOf returns how a manifest was refused.
func refusalOf(a transport.Answer) mount.Refusal {
	refusal := mount.Refusal{Status: a.Status, Missing: a.Missing()}
	for _, e := range a.Errors {
		refusal.Codes = append(refusal.Codes, string(e.Code))
		refusal.Texts = append(refusal.Texts, e.Message, e.Detail)
	}
	return refusal
}

// repair does what is worth doing before a refused manifest is put again. It
// returns false when the refusal is final.
func (r *run) repair(ctx context.Context, m inventory.Manifest, refusal mount.Refusal, round int) (bool, error) {
	r.learn(mount.LearnRefusal(refusal)...)
	if c := refusal.Concerns(); c == mount.ConcernsTag || c == mount.ConcernsMove {
		return false, nil
	}
	if repaired, err := r.repairChildren(ctx, m, refusal, round); repaired || err != nil {
		return repaired, err
	}
	select {
	case r.repairs <- struct{}{}:
		defer func() { <-r.repairs }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
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
	r.pusher.options.log.Debug("repair", "target", r.target.repository.Name(), "status", refusal.Status,
		"blobs", len(remedy.Blobs), "pause", remedy.Pause)
	order := make([]int, len(remedy.Blobs))
	for i, b := range remedy.Blobs {
		order[i] = blobs[b]
		r.work[order[i]].round, r.work[order[i]].how = len(r.work[order[i]].outcomes), mount.Undone
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

// repairChildren puts the children of an index again that the registry misses,
// though they were believed to stand: it may have collected them.
func (r *run) repairChildren(ctx context.Context, m inventory.Manifest, refusal mount.Refusal, round int) (bool, error) {
	digests := make([]digest.Digest, len(m.Children))
	believed := make([]bool, len(m.Children))
	r.mu.Lock()
	for i, c := range m.Children {
		digests[i] = r.inv.Manifests[c].Digest
		_, put := r.put[digests[i]]
		believed[i] = !put && r.inv.Manifests[c].Absent == nil
	}
	r.mu.Unlock()
	again := mount.RepairChildren(refusal, digests, believed, round)
	if len(again) == 0 {
		return false, nil
	}
	r.pusher.options.log.Debug("repair", "target", r.target.repository.Name(), "status", refusal.Status, "manifests", len(again))
	r.mu.Lock()
	r.repaired++
	r.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(r.pusher.options.concurrency)
	for _, i := range again {
		g.Go(func() error { return r.putChild(ctx, r.inv.Manifests[m.Children[i]]) })
	}
	return true, g.Wait()
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
