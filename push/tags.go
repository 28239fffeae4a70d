package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// goal is a tag or digest that is to resolve to the image.
type goal struct {
	reference string
	refs      []int // the references that name it
}

// goals returns the tags and the digest that are still to be made to stand, each
// once.
func (r *run) goals() (tags, digests []goal) {
	for i, ref := range r.target.refs {
		if r.refs[i].Stands {
			continue
		}
		list := &tags
		if _, ok := ref.(name.Digest); ok {
			list = &digests
		}
		at := slices.IndexFunc(*list, func(g goal) bool { return g.reference == ref.Identifier() })
		if at < 0 {
			at = len(*list)
			*list = append(*list, goal{reference: ref.Identifier()})
		}
		(*list)[at].refs = append((*list)[at].refs, i)
	}
	return tags, digests
}

// mark notes that goals stand.
func (r *run) mark(unchanged bool, goals ...goal) {
	for _, g := range goals {
		for _, i := range g.refs {
			r.refs[i].Stands, r.refs[i].Unchanged = true, unchanged
		}
	}
}

// fail notes why goals do not stand.
func (r *run) fail(err error, goals ...goal) {
	for _, g := range goals {
		for _, i := range g.refs {
			r.refs[i].Err = err
		}
	}
}

// publishRefs makes the references stand. Each stands or fails by itself; the
// error is that of a push that has not even brought the image.
func (r *run) publishRefs(ctx context.Context, root inventory.Manifest) error {
	tags, digests := r.goals()
	unchanged := r.stood(root.Digest) && !r.policy.Force
	if unchanged {
		r.mark(true, digests...)
		digests = nil
		if takes, known := r.known().Traits().Known(mount.TagParams); !known || !takes || len(tags) < 2 {
			tags = r.askTags(ctx, root, tags)
		}
	}
	if err := r.putTags(ctx, root, tags); err != nil {
		r.fail(err, digests...)
		return err
	}
	if len(digests) > 0 && !r.stood(root.Digest) {
		if _, err := r.putManifest(ctx, root, root.Digest.String()); err != nil {
			r.fail(err, digests...)
			return err
		}
	}
	r.mark(false, digests...)
	return nil
}

// askTags asks which tags stand with the image already, since a question saves a
// write, and returns the others. The tag that was looked at is not asked for again.
func (r *run) askTags(ctx context.Context, root inventory.Manifest, tags []goal) []goal {
	stands := make([]bool, len(tags))
	var g errgroup.Group
	g.SetLimit(r.pusher.options.concurrency)
	for i, t := range tags {
		if t.refs[0] == 0 {
			continue
		}
		g.Go(func() error {
			a := r.count(r.repo.HasManifest(ctx, t.reference))
			stands[i] = a.OK() && a.Digest == root.Digest
			return nil
		})
	}
	_ = g.Wait() // no question fails
	var left []goal
	for i, t := range tags {
		if stands[i] {
			r.mark(true, t)
		} else {
			left = append(left, t)
		}
	}
	return left
}

// maxDoubts is how many references are refused, for a reason that may lie in them
// or not, before no other is tried.
const maxDoubts = 2

// putTags sets the tags: all with one request where the host is known to do so or
// it is worth a try, else each with its own. Until the image stands, they go one
// by one, so that what is wrong with it is found out once.
func (r *run) putTags(ctx context.Context, root inventory.Manifest, tags []goal) error {
	together, doubts := true, 0
	for len(tags) > 0 {
		if together && mount.TagsAtOnce(r.known().Traits(), len(tags)) {
			left, err := r.putAtOnce(ctx, root, tags[:min(len(tags), maxAtOnce)])
			if err != nil {
				r.fail(err, tags...)
				return err
			}
			together = len(left) == 0
			tags = append(left, tags[min(len(tags), maxAtOnce):]...)
			continue
		}
		if r.stood(root.Digest) {
			r.putEach(ctx, root, tags)
			return nil
		}
		first := tags[0]
		tags = tags[1:]
		concern, err := r.putTag(ctx, root, first)
		if err == nil {
			continue
		}
		r.fail(err, first)
		if concern == mount.ConcernsReference {
			doubts++
		}
		if concern == mount.ConcernsAll || doubts == maxDoubts {
			r.fail(err, tags...)
			return err
		}
	}
	return nil
}

// putEach sets each tag with a request of its own, many at once. When the
// registry is not heard any more, those that have not set out do not.
func (r *run) putEach(ctx context.Context, root inventory.Manifest, tags []goal) {
	var g errgroup.Group
	g.SetLimit(r.pusher.options.concurrency)
	var unheard atomic.Pointer[error]
	for _, t := range tags {
		g.Go(func() error {
			if err := unheard.Load(); err != nil {
				r.fail(*err, t)
				return nil
			}
			_, err := r.putTag(ctx, root, t)
			if err != nil {
				r.fail(err, t)
			}
			if errors.Is(err, transport.ErrUnheard) {
				unheard.Store(&err)
			}
			return nil
		})
	}
	_ = g.Wait() // each reference has its own error
}

// maxAtOnce bounds how many tags one request sets: the specification asks
// registries for ten at the least, zot takes a hundred.
const maxAtOnce = 50

// putAtOnce puts the image under its digest and asks for tags with it. It returns
// those that the registry has not confirmed. The error is that of a registry that
// would not take the image in another way either.
func (r *run) putAtOnce(ctx context.Context, root inventory.Manifest, tags []goal) (left []goal, err error) {
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.reference
	}
	a, err := r.putManifest(ctx, root, root.Digest.String(), names...)
	if err != nil {
		if ctx.Err() != nil || !a.Heard() || a.Limited {
			return nil, err
		}
		r.learn(mount.LearnTagsRefused(refusalOf(a))...)
		return tags, nil
	}
	set := tagsSet(a)
	for _, t := range tags {
		if slices.Contains(set, t.reference) {
			r.mark(false, t)
		} else {
			left = append(left, t)
		}
	}
	return left, nil
}

// tagsSet returns the tags that the registry says it has set. What is between an
// HTTP server and here may have made one header of several.
func tagsSet(a transport.Answer) []string {
	var tags []string
	for _, v := range a.Tags() {
		for tag := range strings.SplitSeq(v, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}

// putTag sets one tag. The concern says what the error is about.
func (r *run) putTag(ctx context.Context, root inventory.Manifest, t goal) (mount.Concern, error) {
	a, err := r.putManifest(ctx, root, t.reference)
	if err == nil {
		r.mark(false, t)
		return 0, nil
	}
	concern := refusalOf(a).Concerns()
	if concern != mount.ConcernsMove {
		return concern, err
	}
	switch at := r.tagAt(ctx, t.reference); at {
	case "":
		return concern, err
	case root.Digest:
		r.mu.Lock()
		r.manifests[root.Digest] = true
		r.mu.Unlock()
		r.mark(true, t)
		return 0, nil
	default:
		return concern, &Error{
			Op: "move tag", Ref: r.target.repository.Tag(t.reference).Name(), Digest: at,
			Err: fmt.Errorf("%w: it stands with %s: %w", ErrTagImmutable, at, a.Failure()),
		}
	}
}

// tagAt returns the digest of the manifest behind a tag, or "".
func (r *run) tagAt(ctx context.Context, tag string) digest.Digest {
	if a := r.count(r.repo.HasManifest(ctx, tag)); a.OK() && a.Digest != "" || a.Status == http.StatusNotFound {
		return a.Digest
	}
	a, m := r.repo.Manifest(ctx, tag)
	r.count(a)
	return m.Digest
}
