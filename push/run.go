package push

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// run brings one image to one repository.
type run struct {
	pusher *Pusher
	host   *transport.Host
	repo   *transport.Repository
	target target
	inv    *inventory.Inventory
	homes  *homes
	began  time.Time
	place  int // of this target among homes.targets
	policy mount.Policy
	blobs  []mount.Blob
	work   []*work

	sharing sharing // of content, with other runs

	// cancels are sessions that are being cancelled. Push waits for them.
	cancels    sync.WaitGroup
	cancelling chan struct{} // holds the one that is, before it is known whether the registry cancels any
	hurry      chan struct{} // closed when the push is cancelled

	// repairs is held while a manifest is repaired: those that share blobs are
	// repaired one after the other, so that a blob is brought again once.
	repairs chan struct{}

	// mu guards the fields below.
	mu        sync.Mutex
	evidence  mount.Evidence
	manifests map[digest.Digest]bool // that stand in the target
	put       map[digest.Digest]bool // manifests that this push has put, and whether the registry noted their subject
	refs      []RefReport            // in the order of target.refs
	referrers []ReferrersReport
	requests  int
	repaired  int
}

// work is what was done for one blob. It is used by one goroutine at a time.
type work struct {
	index    int // of the blob in the inventory
	blob     mount.Blob
	round    int  // index of the first outcome since the blob was last set out for
	anew     bool // its step was begun once more
	outcomes []mount.Outcome
	answers  []transport.Answer // of the outcomes, in the same order
	session  *transport.Session // open, for this blob
	used     bool               // content was sent in the session
	how      mount.Disposition
	err      error // why going on is of no use
}

// newRuns prepares a run for each repository of a registry.
func (p *Pusher) newRuns(ctx context.Context, g group, inv *inventory.Inventory, w *transport.Work) []*run {
	host := p.host(g.registry)
	blobs := make([]mount.Blob, len(inv.Blobs))
	digests := make([]digest.Digest, len(inv.Blobs))
	for i, b := range inv.Blobs {
		blobs[i], digests[i] = b.Blob, b.Digest
		blobs[i].External = b.External && !p.options.nondistributable
	}
	var names []string
	for _, t := range g.targets {
		names = append(names, t.repository.RepositoryStr())
	}
	shared := newHomes(names, digests)
	var runs []*run
	for i, t := range g.targets {
		r := &run{
			pusher: p, host: host, began: time.Now(), target: t, inv: inv, homes: shared, place: i,
			policy: p.options.policy, blobs: blobs, manifests: map[digest.Digest]bool{},
			refs: make([]RefReport, len(t.refs)), repairs: make(chan struct{}, 1), cancelling: make(chan struct{}, 1), hurry: make(chan struct{}),
		}
		for i, b := range blobs {
			r.work = append(r.work, &work{index: i, blob: b})
		}
		r.evidence = r.gather(ctx, names[:i])
		r.repo = host.Repository(t.repository, r.wish(names)).For(w)
		runs = append(runs, r)
	}
	return runs
}

// wish returns the scope that the whole push may need on this registry: the
// other targets and every source that a blob may be mounted from.
func (r *run) wish(targets []string) auth.Scope {
	var s auth.Scope
	for _, t := range targets {
		s = s.Union(auth.Push(t))
	}
	if r.policy.NoMounts || r.policy.Force {
		return s
	}
	for _, b := range r.books() {
		s = s.Union(auth.Pull(b.repository))
	}
	for _, b := range r.blobs {
		for _, src := range r.evidence.Sources(b.Digest) {
			s = s.Union(auth.Pull(src.Repository))
		}
	}
	return s
}

// push brings the image to the repository and keeps what became of it.
func (r *run) push(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { close(r.hurry) })()
	err := r.bring(ctx)
	r.sharing.leftAll()
	if err == nil {
		r.lesson(ctx)
	}
	if root := r.inv.Root().Digest; r.stood(root) {
		r.last(root)
	}
	r.homes.settleRest(r.place, err == nil, r.stood(r.inv.Root().Digest))
	for _, w := range r.work {
		r.cancel(ctx, w)
	}
	r.cancels.Wait()
	for i, ref := range r.refs {
		if !ref.Stands && ref.Err == nil {
			r.refs[i].Err = err
		}
	}
}

// bring is the flow of one push: look, plan, blobs, manifests, tags.
func (r *run) bring(ctx context.Context) error {
	done, err := r.look(ctx)
	if err != nil {
		return err
	}
	if !done {
		if err := r.fill(ctx); err != nil {
			return err
		}
		r.dropUnreadable()
		if err := r.consult(ctx); err != nil {
			return err
		}
		if err := r.ask(ctx); err != nil {
			return err
		}
		r.setOut()
		if err := r.settleAll(ctx, r.unsettled(), r.policy); err != nil {
			return err
		}
	}
	r.sharing.leftAll()
	return r.publish(ctx)
}

// plan returns the plan of what is known now.
func (r *run) plan(p mount.Policy) mount.Plan {
	r.mu.Lock()
	defer r.mu.Unlock()
	return mount.NewPlan(r.blobs, r.evidence, p)
}

// known returns what is known now.
func (r *run) known() mount.Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evidence
}

// learn adds facts to what is known of the target, and to what the Pusher
// remembers of the registry.
func (r *run) learn(facts ...mount.Fact) { r.learnAnswer(time.Time{}, facts...) }

// learnAnswer is as learn for the answer to a request that was sent at the given
// time.
func (r *run) learnAnswer(sent time.Time, facts ...mount.Fact) {
	traits := r.pusher.ledger.RecordAnswer(r.host.Name(), r.target.repository.RepositoryStr(), sent, facts...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence = r.evidence.With(facts...).WithTraits(traits)
}

// count adds the requests of an answer to the report.
func (r *run) count(a transport.Answer) transport.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests += a.Requests
	return a
}

// unsettled returns the indexes of all blobs, largest first: what takes longest
// starts first. Blobs of equal size keep their order.
func (r *run) unsettled() []int {
	order := make([]int, len(r.blobs))
	for i := range order {
		order[i] = i
	}
	sortBySize(order, r.blobs)
	return order
}

// report adds what became of the run to the report of the push.
func (r *run) report(report *Report, errs []error) {
	for _, w := range r.work {
		b := blobReport(r.target.repository.Name(), w)
		report.Blobs = append(report.Blobs, b)
		report.Sent += b.Sent
		report.Saved += b.Saved
	}
	report.Requests += r.requests
	report.Repaired += r.repaired
	report.Referrers = append(report.Referrers, r.referrers...)
	for i, at := range r.target.index {
		ref := r.refs[i]
		ref.Digest = report.Digest
		if ref.Err != nil {
			ref.Err = &Error{Op: "push", Ref: r.target.refs[i].Name(), Err: ref.Err}
			ref.Error = ref.Err.Error()
			errs[at] = ref.Err
		}
		report.Refs[at] = ref
	}
}

// failed names the repository and the digest in an error.
func (r *run) failed(op string, d digest.Digest, err error) error {
	return &Error{Op: op, Ref: r.target.repository.Name(), Digest: d, Err: err}
}
