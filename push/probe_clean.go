package push

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/crossmount/crossmount/transport"
)

// cleanTime bounds how long a probe may take to remove what it has put. It does
// so also when it was cancelled, but then in a hurry.
const (
	cleanTime        = 30 * time.Second
	hurriedCleanTime = 2 * time.Second
)

// clean removes what the probe has put, as far as the registry lets it, and notes
// what stays.
func (b *prober) clean(ctx context.Context) {
	most := cleanTime
	if ctx.Err() != nil {
		most = hurriedCleanTime
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer stop()
	for _, at := range []*place{b.target, b.source} {
		if at != nil {
			b.cleanManifests(ctx, at)
		}
	}
	for _, at := range []*place{b.target, b.source} {
		if at != nil {
			b.cleanBlobs(ctx, at)
			b.cleanSessions(at)
		}
	}
}

// cleanManifests removes tags and manifests, those that refer to others first.
func (b *prober) cleanManifests(ctx context.Context, at *place) {
	r := remover{prober: b, place: at, kind: "manifest", trait: TraitDeletesManifests}
	for _, tag := range at.tags { // some registries delete no manifest that has one
		b.count("DELETE tag", at.remover.DeleteManifest(ctx, tag))
	}
	for _, t := range slices.Backward(at.manifests) {
		r.remove(t, func() transport.Answer { return at.remover.DeleteManifest(ctx, t.digest.String()) })
	}
}

// cleanBlobs removes the blobs that may stand.
func (b *prober) cleanBlobs(ctx context.Context, at *place) {
	r := remover{prober: b, place: at, kind: "blob", trait: TraitDeletesBlobs}
	for _, t := range at.blobs {
		r.remove(t, func() transport.Answer { return at.remover.DeleteBlob(ctx, t.digest) })
	}
}

// cleanSessions notes the sessions that could not be cancelled.
func (b *prober) cleanSessions(at *place) {
	for _, text := range at.sessions {
		b.Left = append(b.Left, fmt.Sprintf("session in %s: %s", at.name, text))
	}
}

// remover deletes things of one kind at one place. Once the registry has refused
// that, it is not asked again.
type remover struct {
	*prober
	*place
	kind    string
	trait   Trait
	refused string // the refusal
}

// remove deletes one thing, and notes if it stays. A 404 about what stood for
// certain says that the registry does not delete, unless it is about a repeat.
func (r *remover) remove(t thing, ask func() transport.Answer) {
	text := r.refused
	if text == "" {
		a := ask()
		text = r.count("DELETE "+r.kind, a)
		if a.Status == http.StatusNotFound && (!t.certain || a.Requests > 1) {
			return
		}
		if r.Of(r.trait).Evidence == "" {
			r.set(r.trait, r.value(a), text)
		}
		if a.OK() {
			return
		}
		r.refused = text
	}
	r.Left = append(r.Left, fmt.Sprintf("%s %s in %s: %s", r.kind, t.digest, r.place.name, text))
}

// value is what the answer to the first DELETE shows of the registry. A right
// that is missing shows nothing.
func (r *remover) value(a transport.Answer) Value {
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return Unknown
	}
	return judged(a, a.OK())
}
