package push

import "context"

// lesson spends one request at the end of a push that succeeded, if its answer
// settles a trait of the registry for good and a [Memory] keeps it for the
// pushes to come. Each is spent at most once for a host.
func (r *run) lesson(ctx context.Context) {
	if r.place > 0 || r.pusher.options.memory == nil || ctx.Err() != nil {
		return
	}
	step, try, ok := r.plan(r.policy).Lesson()
	if !ok || !r.pusher.keeper.first(r.host.Name(), try.Kind) {
		return
	}
	w := &work{index: step, blob: r.blobs[step]}
	r.pusher.options.log.Debug("lesson", "target", r.target.repository.Name(), "digest", w.blob.Digest, "try", try)
	_ = r.try(ctx, w, try) // the error is that of a push that was cancelled: this one has succeeded
	r.cancel(ctx, w)
}
