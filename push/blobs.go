package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// cancelTime bounds how long the cancelling of one session may take. It goes on
// when the push itself was cancelled, but then in a hurry.
const (
	cancelTime  = 5 * time.Second
	hurriedTime = 75 * time.Millisecond
)

// sortBySize sorts indexes of blobs, largest first.
func sortBySize(order []int, blobs []mount.Blob) {
	sort.SliceStable(order, func(i, j int) bool { return blobs[order[i]].Size > blobs[order[j]].Size })
}

// settleAll brings the blobs with the given indexes to the target. One that
// fails does not stop those under way, since what they bring is of use to the
// next push, unless the target may not be pushed to at all; but none starts once
// one has failed.
func (r *run) settleAll(ctx context.Context, order []int, p mount.Policy) error {
	under, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var g errgroup.Group
	g.SetLimit(r.pusher.options.concurrency)
	var failed atomic.Bool
	for _, i := range order {
		if failed.Load() || under.Err() != nil {
			break
		}
		g.Go(func() error {
			err := r.settle(under, i, p)
			if err != nil && !failed.Swap(true) && (errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrDenied)) {
				stop(err)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		if cause := context.Cause(under); cause != nil && ctx.Err() == nil {
			return cause // that of the blob that was refused, not of those that it stopped
		}
		return err
	}
	return context.Cause(ctx)
}

// settle brings one blob to the target: it makes the tries of its step until
// the step has ended.
func (r *run) settle(ctx context.Context, i int, p mount.Policy) error {
	w := r.work[i]
	defer r.cancel(ctx, w)
	defer r.sharing.order.set(i, gone)
	if err := r.awaitHome(ctx, w, p); err != nil {
		return r.failed("push blob", w.blob.Digest, err)
	}
	key := blobAt{r.host.Name(), w.blob.Digest}
	var own *upload
	defer func() {
		if own != nil {
			r.pusher.sending.end(key, own, w.how == mount.Uploaded || w.how == mount.Stands || w.how == mount.Mounted)
		}
	}()
	for {
		step := mount.NewStep(r.blobs, r.known(), p, i)
		step.Blob.Sealed = w.blob.Sealed
		try, ok := step.Next(w.outcomes[w.round:])
		if !ok {
			return r.ended(w, step)
		}
		if try.Kind == mount.Upload && own == nil && !p.Force {
			var again bool
			var err error
			if own, again, err = r.mayUpload(ctx, key); err != nil {
				return r.failed("push blob", w.blob.Digest, err)
			}
			if again {
				if p.Strict { // where it stands now is checked
					w.round = len(w.outcomes)
				}
				r.anew(w)
				continue
			}
		}
		if err := r.try(ctx, w, try); err != nil {
			return r.failed("push blob", w.blob.Digest, err)
		}
	}
}

// mayUpload registers the upload of a blob. If another push is sending it, it
// waits for that one, notes where the blob stands then, and returns again: the
// step may have something better to do.
func (r *run) mayUpload(ctx context.Context, key blobAt) (own *upload, again bool, err error) {
	target := r.target.repository.RepositoryStr()
	own, other := r.pusher.sending.begin(key, target)
	if own != nil && r.refresh(key.digest) { // one has just ended
		r.pusher.sending.end(key, own, false)
		return nil, true, nil
	}
	if other == nil || other.repository != target && !r.known().WorthAwaiting(other.repository, r.policy) {
		return own, false, nil
	}
	at, err := other.await(ctx)
	switch {
	case err != nil:
		return nil, false, err
	case at == target:
		r.learn(mount.InTarget(key.digest, mount.Placed))
	case at != "":
		r.learn(mount.At(key.digest, at, mount.Confirmed))
	}
	return nil, true, nil
}

// anew begins the step of a blob once more if it missed a mount from where the blob
// was brought since; but once, since the registry may have another reason to mount
// nothing from there.
func (r *run) anew(w *work) {
	known := r.known()
	for _, o := range w.outcomes[w.round:] {
		if !w.anew && o.Try.Kind == mount.Mount && known.Belief(w.blob.Digest, o.Try.From) == mount.Confirmed {
			w.round, w.anew = len(w.outcomes), true
		}
	}
}

// refresh takes over where other pushes of the Pusher have brought a blob since
// this one began, which is the registry's word in this push as well. It returns
// whether there is anything new.
func (r *run) refresh(d digest.Digest) bool {
	target := r.target.repository.RepositoryStr()
	known := r.known()
	var facts []mount.Fact
	for _, repository := range r.pusher.ledger.Since(r.host.Name(), d, r.began) {
		switch {
		case repository != target && known.Belief(d, repository) < mount.Remembered:
			facts = append(facts, mount.At(d, repository, mount.Confirmed))
		case repository == target && known.Belief(d, target) == mount.NoBelief && !known.Stands(d):
			facts = append(facts, mount.InTarget(d, mount.Placed), mount.At(d, target, mount.Remembered))
		}
	}
	if len(facts) == 0 {
		return false
	}
	r.learn(facts...)
	return true
}

// awaitHome waits until the blob stands in another target of the same registry,
// if one is its home, and notes where it can be mounted from.
func (r *run) awaitHome(ctx context.Context, w *work, p mount.Policy) error {
	if r.place == 0 || p.Force || r.known().Stands(w.blob.Digest) {
		return nil
	}
	unnamed, known := r.known().Traits().Known(mount.MountsUnreferenced)
	home, err := r.homes.find(ctx, r.place, w.blob.Digest, known && !unnamed)
	if err != nil {
		return err
	}
	first := r.homes.targets[0]
	if home != first {
		r.learn(mount.Fact{Blob: w.blob.Digest, Doubted: true, Source: mount.Source{Repository: first}})
	}
	if home != "" {
		r.learn(mount.At(w.blob.Digest, home, mount.Confirmed))
	}
	return nil
}

// ended keeps how a step ended.
func (r *run) ended(w *work, step mount.Step) error {
	w.how = step.Disposition(w.outcomes[w.round:])
	if w.how != mount.Unsettled {
		r.homes.settle(r.place, w.blob.Digest, true)
		r.sharing.left(w.blob.Digest)
		return nil
	}
	err := w.err
	if err == nil {
		err = w.failure().Failure()
	}
	return r.failed("push blob", w.blob.Digest, err)
}

// failure returns the answer that says why the step failed: that of its last
// upload, since a Check after it only shows that it was in vain.
func (w *work) failure() transport.Answer {
	for i := len(w.answers) - 1; i >= w.round; i-- {
		if w.outcomes[i].Try.Kind == mount.Upload {
			return w.answers[i]
		}
	}
	return w.answers[len(w.answers)-1]
}

// try makes one try and notes what it came back with. The error is that of a
// push that was cancelled; every other answer is an outcome.
func (r *run) try(ctx context.Context, w *work, t mount.Try) error {
	began := time.Now()
	a := r.count(r.make(ctx, w, t))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(a.Err, errUnopened) && !w.blob.Sealed {
		w.blob.Sealed = true // it may be found all the same: a thin image
		return nil
	}
	w.answers = append(w.answers, a)
	w.outcomes = append(w.outcomes, mount.Outcome{
		Try: t, Status: a.Status, Digest: a.Digest, Limited: a.Limited, Corrupt: a.Corrupt,
		Session: w.session != nil && (t.Kind == mount.Upload || a.Status == http.StatusAccepted),
		Sent:    a.Sent, Whole: a.Sent >= w.blob.Size, Late: a.Late, Offset: a.Offset, Fatal: a.Content || w.err != nil,
	})
	r.learnAnswer(began, mount.Learn(w.blob, r.known(), w.outcomes[w.round:])...)
	return nil
}

// make sends what a try stands for.
func (r *run) make(ctx context.Context, w *work, t mount.Try) transport.Answer {
	switch t.Kind {
	case mount.Check:
		if t.Pause > 0 && pause(ctx, t.Pause) != nil {
			return transport.Answer{}
		}
		return r.repo.Check(ctx, w.blob.Digest)
	case mount.Upload:
		return r.upload(ctx, w, t)
	}
	from := t.From
	if t.Kind == mount.MountSelf {
		from = r.target.repository.RepositoryStr()
	}
	a, session := r.repo.Mount(ctx, w.blob.Digest, from)
	if session != nil {
		r.cancel(ctx, w)
		w.session = session
	}
	return a
}

// errNoSession says that a registry accepted an upload without saying where.
var errNoSession = errors.New("the registry opened no usable upload session")

// send sends the bytes: the rest of them in the session that was cut, or all in
// a session that has taken none, which is opened if there is none.
func (r *run) send(ctx context.Context, w *work, t mount.Try, body transport.Body) transport.Answer {
	d := w.blob.Digest
	if w.blob.Sealed {
		rc, err := r.inv.Blobs[w.index].Open()
		if err != nil {
			w.err = fmt.Errorf("%w: %w", ErrContent, err)
			return transport.Answer{Content: true, Err: w.err}
		}
		_ = rc.Close() // it is opened again to be sent
		w.blob.Sealed = false
	}
	if t.Resume && w.session != nil {
		if t.Pause > 0 && pause(ctx, t.Pause) != nil {
			return transport.Answer{}
		}
		a := w.session.Resume(ctx, d, body, t.Chunk)
		if a.Status == http.StatusRequestedRangeNotSatisfiable && a.Sent > 0 {
			return a // it stands elsewhere by now, and can be asked where
		}
		return r.sent(ctx, w, a)
	}
	if w.used {
		r.cancel(ctx, w)
	}
	if t.Form == mount.Single && w.session == nil {
		if err := r.sharing.order.wait(ctx, w.index); err != nil {
			return transport.Answer{Err: err}
		}
		a, session := r.repo.Single(ctx, d, body)
		w.session = session // of a host that took the POST for one that opens a session
		return a
	}
	if w.session == nil {
		a, session := r.repo.Start(ctx, d)
		switch {
		case session != nil:
			w.session = session
			r.count(a)
		case a.Status == http.StatusAccepted:
			w.err = errNoSession
			return a
		default:
			w.err = a.Failure()
			return a
		}
	}
	if err := r.sharing.order.wait(ctx, w.index); err != nil {
		return transport.Answer{Err: err}
	}
	w.used = true
	switch t.Form {
	case mount.Stream:
		return r.sent(ctx, w, w.session.Stream(ctx, d, body))
	case mount.Chunks:
		return r.sent(ctx, w, w.session.Chunks(ctx, d, body, t.Chunk))
	}
	return r.sent(ctx, w, w.session.Put(ctx, d, body))
}

// sent keeps the session of an upload that broke off, since it may hold what was
// sent, and gives up that of one that was refused.
func (r *run) sent(ctx context.Context, w *work, a transport.Answer) transport.Answer {
	switch {
	case a.OK():
		w.session, w.used = nil, false
	case a.Content || a.Heard() && a.Status < 500 && a.Status != http.StatusRequestTimeout && !a.Limited:
		r.cancel(ctx, w)
	}
	return a
}

// cancel gives up the session of a blob, if one is open. It does not wait, and
// goes on when the push is cancelled, but then in a hurry.
func (r *run) cancel(ctx context.Context, w *work) {
	session := w.session
	if session == nil {
		return
	}
	w.session, w.used = nil, false
	r.cancels.Go(func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer stop()
		ended := make(chan struct{})
		defer close(ended)
		r.cancels.Go(func() { r.hurried(ended, stop) })
		r.giveUp(ctx, session)
	})
}

// hurried stops what goes on soon after the push was cancelled, unless it has ended.
func (r *run) hurried(ended <-chan struct{}, stop func()) {
	select {
	case <-ended:
		return
	case <-r.hurry:
	}
	select {
	case <-ended:
	case <-time.After(hurriedTime):
		stop()
	}
}

// giveUp deletes a session, unless the registry deletes none. As long as that is
// not known, one is deleted after the other, unless the push was cancelled.
func (r *run) giveUp(ctx context.Context, session *transport.Session) {
	cancels, known := r.known().Traits().Known(mount.Cancels)
	if !known {
		select {
		case r.cancelling <- struct{}{}:
			defer func() { <-r.cancelling }()
		case <-r.hurry:
		}
		cancels, known = r.known().Traits().Known(mount.Cancels)
	}
	if cancels || !known {
		r.learn(mount.LearnCancel(r.count(session.Cancel(ctx)).Status)...)
	}
}
