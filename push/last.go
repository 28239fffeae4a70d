package push

import (
	"context"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/mount"
)

// last notes that the target holds the manifest d, for pushes to come that find
// their tag absent.
func (r *run) last(d digest.Digest) {
	r.pusher.ledger.SetLast(r.host.Name(), r.target.repository.RepositoryStr(), d)
}

// gone notes that the target does not hold the manifest d, whatever is
// remembered.
func (r *run) gone(d digest.Digest) {
	r.pusher.ledger.ForgetLast(r.host.Name(), r.target.repository.RepositoryStr(), d)
	r.learn(mount.InTarget(d, mount.Absent))
}

// lookBack asks for the manifest that the target is remembered to hold, when a
// look has shown neither the image nor another one in its place. If it stands,
// it proves blobs as the manifest behind the tag would have. What goes wrong here
// is of no account.
func (r *run) lookBack(ctx context.Context) {
	target, root := r.target.repository.RepositoryStr(), r.inv.Root().Digest
	last := r.pusher.ledger.Last(r.host.Name(), target)
	known := r.known()
	switch {
	case last == "" || last == root || r.policy.Strict:
		return
	case known.Standing() == mount.RepoAbsent:
		r.gone(last)
		return
	case known.Belief(root, target) == mount.Remembered && known.Presence(root) != mount.Absent:
		return // it will be asked for
	case r.unproven() < worthReading:
		return
	}
	a, m := r.repo.Manifest(ctx, last.String())
	r.count(a)
	switch {
	case m.Body != nil:
		r.learn(append(r.proves(ctx, m), mount.Looked(mount.TagOther))...)
	case a.Status == http.StatusNotFound:
		r.gone(last)
		if a.Has(wire.CodeNameUnknown) {
			r.learn(mount.Looked(mount.RepoAbsent))
		}
	}
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
