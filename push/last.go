package push

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/mount"
)

// tags returns the tags among the references.
func (t target) tags() []string {
	var out []string
	for _, ref := range t.refs {
		if tag, ok := ref.(name.Tag); ok {
			out = append(out, tag.TagStr())
		}
	}
	return out
}

// last notes that the target holds the manifest d, for pushes to come that find
// their tag absent.
func (r *run) last(d digest.Digest) {
	r.pusher.ledger.SetLast(r.host.Name(), r.target.repository.RepositoryStr(), r.target.tags(), d)
}

// gone notes that the target does not hold the manifest d, whatever is
// remembered.
func (r *run) gone(d digest.Digest) {
	r.pusher.ledger.ForgetLast(r.host.Name(), r.target.repository.RepositoryStr(), d)
	r.learn(mount.InTarget(d, mount.Absent))
}

// lookBack asks for the manifest that the target is remembered to hold. If it
// stands, it proves blobs as the manifest behind the tag would have. It returns
// whether there is anything that it has proved; what goes wrong here is of no
// account.
func (r *run) lookBack(ctx context.Context) bool {
	known := r.known()
	last := known.Last()
	a, m := r.repo.Manifest(ctx, last.String())
	r.count(a)
	switch {
	case m.Body != nil:
		facts := r.proves(ctx, m)
		r.learn(append(facts, mount.Looked(mount.TagOther))...)
		return len(facts) > 0
	case a.Status == http.StatusNotFound:
		r.gone(last)
		if a.Has(wire.CodeNameUnknown) {
			r.learn(mount.Looked(mount.RepoAbsent))
		}
	}
	return false
}

// worthLookingBack says whether a look at the remembered manifest is worth its
// request, after the one at the reference has shown neither the image nor another
// one in its place.
func (r *run) worthLookingBack() bool {
	known, root := r.known(), r.inv.Root().Digest
	last := known.Last()
	switch {
	case last == "" || r.policy.Strict || known.Standing() == mount.TagOther || known.Presence(last) == mount.Absent:
		return false
	case known.Standing() == mount.RepoAbsent:
		r.gone(last)
		return false
	case known.Belief(root, known.Target()) == mount.Remembered && known.Presence(root) != mount.Absent:
		return false // it will be asked for
	}
	return r.unproven() >= worthReading
}

// unproven counts the blobs of which no look has shown that they stand.
func (r *run) unproven() int {
	known, n := r.known(), 0
	for _, b := range r.blobs {
		if !b.External && !known.Stands(b.Digest) {
			n++
		}
	}
	return n
}
