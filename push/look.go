package push

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// maxQuestions bounds how many questions are asked one after the other before
// the blobs set out.
const maxQuestions = 4

// look asks for the manifest behind the first reference, or for the one that the
// target was last seen to hold. One request may show that nothing is to be done,
// or which blobs stand. It returns true when the image stands, so that only
// references are left to put.
func (r *run) look(ctx context.Context) (done bool, err error) {
	if r.policy.Force {
		return false, nil
	}
	ref := r.target.refs[0]
	if _, ok := ref.(name.Digest); ok {
		r.learn(mount.Fact{DigestAsked: true})
		done, err = r.lookDigest(ctx)
	} else if !r.policy.Strict && r.known().FirstLook(ref.Identifier()) == mount.LookLast && r.lookBack(ctx) {
		return false, nil
	} else {
		done, err = r.lookTag(ctx, ref.Identifier())
	}
	if err == nil && !done && r.worthLookingBack() {
		r.lookBack(ctx)
	}
	return done, err
}

// lookTag asks for the manifest behind a tag.
func (r *run) lookTag(ctx context.Context, tag string) (done bool, err error) {
	a, m := r.repo.Manifest(ctx, tag)
	r.count(a)
	switch {
	case a.Unreadable(): // it shows nothing
	case !a.Heard() || a.Barred():
		return false, a.Failure()
	case a.Status == http.StatusNotFound && r.known().Standing() != mount.TagOther:
		r.learn(mount.Looked(absence(a)))
	case m.Digest == r.inv.Root().Digest:
		r.refs[0].Stands, r.refs[0].Unchanged = true, true
		r.stands()
		return r.nothingLeft(), nil
	case m.Body != nil:
		r.last(m.Digest)
		r.learn(append(r.proves(ctx, m), mount.Looked(mount.TagOther))...)
	}
	return false, nil
}

// absence says what a 404 to a question about tags says of the repository.
func absence(a transport.Answer) mount.Standing {
	if a.Has(wire.CodeNameUnknown) {
		return mount.RepoAbsent
	}
	return mount.TagAbsent
}

// lookDigest asks whether the digest of the image stands.
func (r *run) lookDigest(ctx context.Context) (done bool, err error) {
	a := r.count(r.repo.HasManifest(ctx, r.inv.Root().Digest.String()))
	if !a.Unreadable() && (!a.Heard() || a.Barred()) {
		return false, a.Failure()
	}
	if a.Status == http.StatusOK {
		r.stands()
		return r.nothingLeft(), nil
	}
	if a.Status == http.StatusNotFound {
		r.gone(r.inv.Root().Digest)
	}
	if a.Has(wire.CodeNameUnknown) {
		r.learn(mount.Looked(mount.RepoAbsent))
	}
	return false, nil
}

// stands notes that the image stands in the target, with all that it names.
func (r *run) stands() {
	facts := make([]mount.Fact, 0, len(r.blobs)+1)
	facts = append(facts, mount.InTarget(r.inv.Root().Digest, mount.Present))
	for i, b := range r.blobs {
		if !r.inv.Blobs[i].External {
			facts = append(facts, mount.InTarget(b.Digest, mount.Present))
		}
	}
	r.learn(facts...)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.inv.Manifests {
		r.manifests[m.Digest] = true
	}
	if r.policy.Strict {
		return
	}
	for i, w := range r.work {
		switch {
		case w.blob.External:
			w.how = mount.Skipped
		case !r.inv.Blobs[i].External:
			w.how = mount.Stands
		}
	}
}

// proves returns what a manifest that stands in the target proves of the blobs
// of the image: a registry holds what its manifests name. Of an index, the
// manifests for the platforms that the image has are read too, one for each.
func (r *run) proves(ctx context.Context, m transport.Manifest) []mount.Fact {
	var doc manifestParts
	if json.Unmarshal(m.Body, &doc) != nil {
		return nil
	}
	facts := r.provesNamed(doc)
	matched := map[digest.Digest]bool{}
	for _, child := range doc.Manifests {
		facts = append(facts, r.provesChild(ctx, child, matched)...)
	}
	return facts
}

// provesNamed returns what an image manifest proves.
func (r *run) provesNamed(doc manifestParts) []mount.Fact {
	named := map[digest.Digest]bool{digest.Digest(doc.Config.Digest.String()): true}
	for _, l := range doc.Layers {
		named[digest.Digest(l.Digest.String())] = l.MediaType.IsDistributable()
	}
	var facts []mount.Fact
	for _, b := range r.blobs {
		if named[b.Digest] {
			facts = append(facts, mount.InTarget(b.Digest, mount.Present))
		}
	}
	return facts
}

// worthReading is the number of blobs from which on it is worth a request to
// read the manifest that may prove them.
const worthReading = 3

// provesChild returns what one manifest of an index that stands in the target
// proves. The very manifest that is to be pushed proves its blobs unread; of those
// for a platform, the first is read, and its image is matched then.
func (r *run) provesChild(ctx context.Context, child v1.Descriptor, matched map[digest.Digest]bool) []mount.Fact {
	d := digest.Digest(child.Digest.String())
	for _, m := range r.inv.Manifests {
		if m.Digest == d {
			return r.standsBelow(m)
		}
	}
	for _, m := range r.inv.Manifests {
		if matched[m.Digest] || len(m.Blobs) < worthReading || !inventory.SamePlatform(child.Platform, r.inv.PlatformOf(m)) {
			continue
		}
		matched[m.Digest] = true
		a, old := r.repo.Manifest(ctx, d.String())
		r.count(a)
		var doc manifestParts
		if json.Unmarshal(old.Body, &doc) != nil {
			return nil
		}
		return r.provesNamed(doc)
	}
	return nil
}

// standsBelow notes that a manifest stands, with those below it that the image holds,
// and returns the facts that their blobs do.
func (r *run) standsBelow(m inventory.Manifest) []mount.Fact {
	r.mu.Lock()
	r.manifests[m.Digest] = true
	r.mu.Unlock()
	facts := r.present(m.Blobs)
	for _, c := range m.Children {
		if child := r.inv.Manifests[c]; child.Absent == nil {
			facts = append(facts, r.standsBelow(child)...)
		}
	}
	return facts
}

// nothingLeft says whether no blob is left to settle where the image stands: there
// is one if non-distributable layers are to be sent, of which its manifest proves
// nothing.
func (r *run) nothingLeft() bool {
	if r.policy.Strict {
		return false
	}
	for i, b := range r.blobs {
		if r.inv.Blobs[i].External && !b.External {
			return false
		}
	}
	return true
}

// present returns the facts that the blobs with the given indexes stand.
func (r *run) present(blobs []int) []mount.Fact {
	var facts []mount.Fact
	for _, i := range blobs {
		if !r.inv.Blobs[i].External { // a manifest proves no layer that may be elsewhere
			facts = append(facts, mount.InTarget(r.blobs[i].Digest, mount.Present))
		}
	}
	return facts
}

// ask asks what the plan finds worth asking before the blobs set out.
func (r *run) ask(ctx context.Context) error {
	for range maxQuestions {
		q, ok := r.plan(r.policy).Ask()
		if !ok {
			return nil
		}
		done, err := r.question(ctx, q)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// question asks one question. It returns true when the image stands.
func (r *run) question(ctx context.Context, q mount.Question) (done bool, err error) {
	r.pusher.options.log.Debug("ask", "target", r.target.repository.Name(), "look", q.Look, "try", q.Try)
	switch q.Look {
	case mount.LookDigest:
		r.learn(mount.Fact{DigestAsked: true})
		return r.lookDigest(ctx)
	case mount.LookTags:
		return false, r.lookTags(ctx)
	}
	return false, r.try(ctx, r.work[q.Step], q.Try)
}

// lookTags asks whether the repository exists. One without tags counts as one
// that does, though some registries list the tags of any name (olareg): it may
// hold the blobs of a first push that was interrupted.
func (r *run) lookTags(ctx context.Context) error {
	a := r.count(r.repo.Tags(ctx, 1))
	switch {
	case a.Unreadable():
	case !a.Heard():
		return a.Failure()
	case a.Status == http.StatusNotFound:
		r.learn(mount.Looked(mount.RepoAbsent))
	default:
		r.learn(mount.Looked(mount.RepoExists))
	}
	return nil
}

// dropUnreadable takes out the sources that the token which was had for the look
// does not permit to read.
func (r *run) dropUnreadable() {
	seen := map[string]bool{}
	for _, b := range r.blobs {
		for _, s := range r.known().Sources(b.Digest) {
			if seen[s.Repository] {
				continue
			}
			seen[s.Repository] = true
			if readable, known := r.host.Readable(r.target.repository, s.Repository); known && !readable {
				r.mu.Lock()
				r.evidence = r.evidence.With(mount.Doubt(s.Repository))
				r.mu.Unlock()
			}
		}
	}
}
