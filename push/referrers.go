package push

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// refer makes sure that the manifests with a subject that stand are listed as its
// referrers: by the registry itself, or in the index behind the referrers tag
// (distribution specification, "Pushing Manifests with Subject").
func (r *run) refer(ctx context.Context) {
	var order []digest.Digest
	bySubject := map[digest.Digest][]inventory.Manifest{}
	for _, m := range r.inv.Manifests {
		if m.Subject == "" || !r.stood(m.Digest) {
			continue
		}
		if bySubject[m.Subject] == nil {
			order = append(order, m.Subject)
		}
		bySubject[m.Subject] = append(bySubject[m.Subject], m)
	}
	for _, subject := range order {
		report := ReferrersReport{Repository: r.target.repository.Name(), Subject: subject, Unchanged: true}
		var owed []inventory.Manifest
		for _, m := range bySubject[subject] {
			report.Manifests = append(report.Manifests, m.Digest)
			noted, put := r.noted(ctx, m)
			report.Unchanged = report.Unchanged && !put
			if !noted {
				owed = append(owed, m)
			}
		}
		if len(owed) > 0 {
			report.Tag = referrersTag(subject)
			changed, err := r.updateReferrers(ctx, report.Tag, owed)
			report.Unchanged = err == nil && !changed
			if err != nil {
				report.Err = &Error{
					Op: "update referrers", Ref: r.target.repository.Tag(report.Tag).Name(), Digest: subject,
					Err: fmt.Errorf("%w: %w", ErrReferrers, err),
				}
				report.Error = report.Err.Error()
			}
		}
		r.referrers = append(r.referrers, report)
	}
}

// noted says whether the registry lists a manifest as a referrer by itself, and
// whether this push has put it. One that stood before is asked for where nothing
// is known of the host: who put it may have been stopped before the list was up
// to date.
func (r *run) noted(ctx context.Context, m inventory.Manifest) (noted, put bool) {
	r.mu.Lock()
	noted, put = r.put[m.Digest]
	r.mu.Unlock()
	if put {
		return noted, true
	}
	lists, known := r.known().Traits().Known(mount.Lists)
	if known {
		return lists, false
	}
	a, _ := r.repo.Referrers(ctx, m.Subject)
	r.count(a)
	if a.OK() || a.Status == http.StatusNotFound {
		r.learn(mount.LearnSubject(a.OK())...)
	}
	return a.OK(), false
}

// referrersTag returns the tag that stands for the referrers of a manifest:
// algorithm and encoded part of its digest, each cut to a length that leaves room
// for a tag.
func referrersTag(subject digest.Digest) string {
	algorithm, encoded := subject.Algorithm().String(), subject.Encoded()
	return algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
}

// How long a list of referrers is worked at. After a PUT, others may still be
// about to put what they have made of an older list. So it is read again, once
// their time is over: some multiple of the time that reading and writing took
// here, but settle at the least. With each round, the moments at which writers
// come back are spread over twice the time.
const (
	referrersRounds = 8
	settle          = 50 * time.Millisecond
	maxSettle       = 5 * time.Second
)

// settling returns how long to wait in a round before the list is read again,
// when the last update took so long. Chance is a number from 0 to 1.
func settling(took time.Duration, round int, chance float64) time.Duration {
	least := min(max(settle, 2*took), maxSettle)
	return least + time.Duration(chance*float64(min(least<<round, 2*maxSettle)))
}

// updateReferrers adds manifests to the index behind a referrers tag, and says
// whether it had to. Those of all pushes of the Pusher that wait for the same list
// are added together. What others add at the same time is kept: where the registry
// gives entity tags, an update that would overwrite another is refused; and
// everywhere the list is read again afterwards, and mended while anything is
// missing that it held before.
func (r *run) updateReferrers(ctx context.Context, tag string, manifests []inventory.Manifest) (changed bool, err error) {
	own := &referrers{}
	for _, m := range manifests {
		if err := own.add(m); err != nil {
			return false, err
		}
	}
	key := r.host.Name() + "/" + r.target.repository.RepositoryStr() + ":" + tag
	want, leave, err := r.pusher.turns.take(ctx, key, own)
	if err != nil || want == nil {
		return err == nil, err
	}
	defer func() { leave(err == nil) }()
	for round, odd := 0, 0; ; round++ {
		began := time.Now()
		done, err := r.updateOnce(ctx, tag, want, round == referrersRounds)
		if done {
			return changed, err
		}
		wait := settling(time.Since(began), round, rand.Float64()).Seconds()
		if err != nil {
			var e *oddAnswer
			if !errors.As(err, &e) {
				return changed, err
			}
			remedy, again := mount.Repair(e.refusal, nil, nil, r.policy, odd)
			if !again {
				return changed, err
			}
			odd, wait = odd+1, remedy.Pause
		}
		changed = changed || err == nil
		if err := pause(ctx, wait); err != nil {
			return changed, err
		}
	}
}

// oddAnswer is an answer that is an error unless the next one is better.
type oddAnswer struct {
	refusal mount.Refusal
	error
}

// Unwrap returns the error.
func (e *oddAnswer) Unwrap() error { return e.error }

// odd returns an answer as an error.
func odd(a transport.Answer) error { return &oddAnswer{refusalOf(a), a.Failure()} }

// updateOnce reads the list and, unless it holds all that is wanted, which is when
// it is done, puts it with what is missing; but not when this is the last time.
func (r *run) updateOnce(ctx context.Context, tag string, want *referrers, last bool) (done bool, err error) {
	list, etag, err := r.readReferrers(ctx, tag)
	switch {
	case err != nil:
		return false, err
	case !list.merge(want):
		return true, nil
	case last:
		return true, errors.New("others overwrite it again and again")
	}
	return false, r.writeReferrers(ctx, tag, etag, list, want)
}

// readReferrers returns the list behind a referrers tag, an empty one if there is
// none.
func (r *run) readReferrers(ctx context.Context, tag string) (*referrers, string, error) {
	a, m := r.repo.Manifest(ctx, tag)
	r.count(a)
	switch {
	case ctx.Err() != nil:
		return nil, "", context.Cause(ctx)
	case a.Status == http.StatusNotFound:
		return &referrers{}, "", nil
	case m.Body == nil:
		return nil, "", odd(a)
	}
	list, err := parseReferrers(m.Body)
	return list, a.ETag(), err
}

// writeReferrers puts a list. What it holds is wanted from then on. Entries that
// the registry does not hold, and refuses the list for, are taken out. That
// somebody else was faster is no error: the list is read again.
func (r *run) writeReferrers(ctx context.Context, tag, etag string, list, want *referrers) error {
	for {
		body, err := list.body()
		if err != nil {
			return err
		}
		a := r.count(r.repo.ReplaceManifest(ctx, tag, string(types.OCIImageIndex), body, etag))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case a.OK():
			want.merge(list)
			return nil
		case a.Status == http.StatusPreconditionFailed && etag != "" && refusalOf(a).Concerns() != mount.ConcernsMove:
			return nil
		}
		if !list.drop(a.Missing(), want) {
			return odd(a)
		}
	}
}
