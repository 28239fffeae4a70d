package push

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/transport"
)

// Probe finds out how the registry of target answers, by some sixty small requests with
// new random blobs, one after the other. It answers the question of the
// distribution specification's FAQ how a client can tell whether a registry
// finds the origin of a mount by itself, and those that follow: see [Trait].
//
// It needs the right to push to target. What a mount does can be seen only with
// a second repository of the same registry, which is the first of source and
// has to be one that may be pushed to as well; without it those traits stay
// unknown. No policy of the Pusher keeps it from mounting.
//
// What it put there is removed again as far as the registry allows, also when
// ctx ends meanwhile; what stays is in the Diagnosis. Nothing that it did not
// put there is touched. The findings are remembered by the Pusher, and in
// its [Memory], like those of a push, so that pushes to the host know it.
//
// The Diagnosis is never nil. A registry that refuses something is no error: it
// is a finding. The error is an [*Error] when target or source cannot be used,
// when the registry is not heard at all, or when ctx ends.
func (p *Pusher) Probe(ctx context.Context, target name.Repository, source ...name.Repository) (*Diagnosis, error) {
	d := &Diagnosis{Host: target.RegistryStr(), Target: target.RepositoryStr()}
	for _, t := range traits() {
		d.Traits = append(d.Traits, Finding{Trait: t})
	}
	b, err := p.newProber(d, target, source)
	if err == nil {
		defer p.leave(target.Registry)
		at := []group{{registry: target.Registry}}
		p.keeper.recall(ctx, at)
		err = b.run(ctx)
		b.clean(ctx)
		p.ledger.Record(b.host.Name(), d.Target, d.Learned()...)
		p.keeper.keep(ctx, at)
	}
	reason := "not asked"
	if err != nil {
		reason = "not asked: the probe ended early"
	}
	d.leave(reason, traits()...)
	return d, err
}

// prober is one probe. It is used by one goroutine.
type prober struct {
	*Diagnosis
	host   *transport.Host
	target *place
	source *place // nil without a second repository
	known  content
	least  int64 // OCI-Chunk-Min-Length
}

// place is a repository and what the probe has put there.
type place struct {
	*transport.Repository
	name      string
	remover   *transport.Repository // the same, for deleting: it wishes for no other scope
	blobs     []thing
	manifests []thing
	tags      []string
	sessions  []string // that could not be cancelled, by their answers
}

// newProber checks what Probe was given. The registry is in use then, unless there
// is an error.
func (p *Pusher) newProber(d *Diagnosis, target name.Repository, source []name.Repository) (*prober, error) {
	for _, r := range append([]name.Repository{target}, source...) {
		if r.RepositoryStr() == "" || r.RegistryStr() == "" {
			return nil, &Error{Op: "probe", Err: fmt.Errorf("%w: it names no repository", ErrReference)}
		}
	}
	wish := auth.Push(d.Target)
	if len(source) > 0 {
		s := source[0]
		switch {
		case s.RegistryStr() != target.RegistryStr() || s.Scheme() != target.Scheme():
			return nil, &Error{Op: "probe", Ref: s.Name(), Err: fmt.Errorf("%w: it is on another registry", ErrReference)}
		case s.RepositoryStr() == d.Target:
			return nil, &Error{Op: "probe", Ref: s.Name(), Err: fmt.Errorf("%w: it is the target", ErrReference)}
		}
		d.Source = s.RepositoryStr()
		wish = wish.Union(auth.Push(d.Source))
	}
	b := &prober{Diagnosis: d, host: p.host(target.Registry)}
	if len(source) > 0 {
		b.source = newPlace(b.host, source[0], wish, p.options.retry)
	}
	b.target = newPlace(b.host, target, wish, p.options.retry)
	return b, nil
}

// thing is a blob or manifest that stands somewhere, or may do so.
type thing struct {
	digest  digest.Digest
	certain bool
}

func newPlace(h *transport.Host, n name.Repository, wish auth.Scope, r transport.Retry) *place {
	return &place{
		Repository: h.Repository(n, wish).For(transport.NewWork(r)), name: n.RepositoryStr(),
		remover: h.Repository(n, auth.Scope{}).For(transport.NewWork(r)),
	}
}

// run asks everything in turn. The order matters: what comes first is needed to
// verify what follows, and the mount from the second repository is the first mount.
func (b *prober) run(ctx context.Context) error {
	a, ok := b.first(ctx)
	if !a.Heard() && ctx.Err() == nil {
		return &Error{Op: "probe", Ref: b.Host + "/" + b.Target, Err: a.Failure()}
	}
	if !ok {
		b.leave("the target took no blob: "+said("POST or PUT", a), traits()...)
	}
	for _, ask := range []func(context.Context){
		b.heads, b.manifests, b.subject, b.cancels, b.streams, b.parts, b.resumes, b.single, b.fromSource, b.misses, b.inTarget,
	} {
		if ok && ctx.Err() == nil {
			ask(ctx)
		}
	}
	if ctx.Err() != nil {
		return &Error{Op: "probe", Ref: b.Host + "/" + b.Target, Err: context.Cause(ctx)}
	}
	return nil
}

// said writes a request and what it was answered with.
func said(request string, a transport.Answer) string {
	if !a.Heard() {
		return fmt.Sprintf("%s -> no answer: %v", request, a.Failure())
	}
	text := fmt.Sprintf("%s -> %d", request, a.Status)
	for i, e := range a.Errors {
		if code := string(e.Code); i < 1 && code != "UNKNOWN" {
			text += " " + code
		}
	}
	if a.Err != nil {
		text += ", no token"
	}
	return text
}

// count adds an answer to the totals, and returns it in words.
func (b *prober) count(request string, a transport.Answer) string {
	b.Requests += a.Requests
	b.Sent += a.Sent
	return said(request, a)
}

// judged is the value of a trait that an answer shows: unknown where no answer
// came, or one that speaks of a trouble.
func judged(a transport.Answer, yes bool) Value {
	switch {
	case !a.Heard() || a.Limited || a.Status >= 500 || a.Status == 408:
		return Unknown
	case yes:
		return Yes
	}
	return No
}

// note adds to things that d may stand, or does so for certain.
func note(things []thing, d digest.Digest, certain bool) []thing {
	for i, t := range things {
		if t.digest == d {
			things[i].certain = t.certain || certain
			return things
		}
	}
	return append(things, thing{d, certain})
}

// took notes that a place may hold a blob from now on, or does so for certain.
func (p *place) took(d digest.Digest, certain bool) { p.blobs = note(p.blobs, d, certain) }

// put notes the same of a manifest.
func (p *place) put(d digest.Digest, certain bool) { p.manifests = note(p.manifests, d, certain) }
