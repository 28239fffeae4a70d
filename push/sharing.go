package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/fanout"
	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// sharing lets the runs of one push read a blob from its source once, when
// several of them send it at about the same time: those of different registries,
// and all runs where nothing is mounted. It is nil for a run that is alone.
type sharing struct {
	group *fanout.Group
	party int // of the run in the group
	order *order
}

// sharingLimits bounds what sharing takes. A registry that is slower than others
// holds them back for about a second in all, and for an eighth of the time that
// the push takes; then it reads its content by itself. Of an image that package
// remote of ggcr has pulled, four layers can be open at once if the caller has not
// asked for more: those that are behind get two of them.
func sharingLimits() fanout.Limits {
	return fanout.Limits{Window: 1 << 20, Kept: 4 << 20, Gather: 200 * time.Millisecond, Patience: time.Second, Alone: 2}
}

// share lets runs share content. The homes of the registries can be expected to
// send it at about the same time; the other targets wait for them, and send
// nothing if all goes well. It returns what to call when the runs have ended.
func share(runs []*run) (wait func()) {
	expected, n := make([]bool, len(runs)), 0
	for i, r := range runs {
		if r.place == 0 || r.policy.Force {
			expected[i] = true
			n++
		}
	}
	if n < 2 {
		return func() {}
	}
	g := fanout.NewGroup(sharingLimits(), expected)
	for i, r := range runs {
		r.sharing = sharing{group: g, party: i}
	}
	return g.Wait
}

// left says that the run does not send a blob any more, as far as it knows.
func (s sharing) left(d digest.Digest) { s.group.Leave(s.party, d.String()) }

// leftAll says that the run sends no blob any more.
func (s sharing) leftAll() { s.group.LeaveAll(s.party) }

// setOut is called before the blobs set out. Those that are settled already are
// not sent.
func (r *run) setOut() {
	if r.sharing.group == nil {
		return
	}
	r.sharing.order = newOrder(r.unsettled())
	for _, step := range r.plan(r.policy).Steps {
		if step.Disposition(nil) != mount.Undone {
			r.sharing.left(step.Blob.Digest)
		}
	}
}

// errUnopened says that a blob has no content that can be opened.
var errUnopened = errors.New("content cannot be opened")

// source returns where the content of a blob comes from. Layers that were pulled
// are read from a registry each time that they are opened.
func (r *run) source(w *work) fanout.Source {
	b := r.inv.Blobs[w.index]
	pulled := slices.ContainsFunc(b.From, func(o inventory.Origin) bool { return o.Belief == mount.Remembered })
	return fanout.Source{Key: b.Digest.String(), Size: b.Size, Open: b.Open, Scarce: pulled}
}

// body returns the content of a blob, which is opened together with other runs
// that send it.
func (r *run) body(ctx context.Context, w *work) transport.Body {
	src := r.source(w)
	return transport.Body{Size: src.Size, Open: func() (io.ReadCloser, error) {
		r.sharing.order.set(w.index, gone)
		rc, err := r.sharing.group.Open(ctx, r.sharing.party, src)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnopened, err)
		}
		return rc, nil
	}}
}

// upload sends the bytes. When that broke off because others who read them were
// faster, it begins anew.
func (r *run) upload(ctx context.Context, w *work, t mount.Try) transport.Answer {
	body := r.body(ctx, w)
	var earlier transport.Answer
	for {
		a := r.send(ctx, w, t, body)
		a.Sent, a.Requests = a.Sent+earlier.Sent, a.Requests+earlier.Requests
		if !errors.Is(a.Err, fanout.ErrBehind) || ctx.Err() != nil {
			return a
		}
		earlier = a
	}
}
