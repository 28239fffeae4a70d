package push

import (
	"context"
	"net/http"

	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// lagPause is how long a blob that was mounted may take to be seen, in seconds.
const lagPause = 0.5

// linked is what a mount came to.
type linked struct {
	transport.Answer
	verdict mount.Verdict
	value   Value // whether the blob stands in the target by this mount
	phantom bool  // it was answered 201 and does not stand
	text    string
}

// verdict says what an answer to a mount means.
func verdict(c content, a transport.Answer) mount.Verdict {
	return mount.Judge(c.digest, mount.Outcome{
		Try: mount.Try{Kind: mount.Mount}, Status: a.Status, Digest: a.Digest, Limited: a.Limited,
	})
}

// mount asks for a mount, whose session is the caller's.
func (b *prober) mount(ctx context.Context, c content, from string) (linked, *transport.Session) {
	request := "POST ?mount=D"
	if from != "" {
		request += "&from=" + from
	}
	a, s := b.target.Mount(ctx, c.digest, from)
	l := linked{Answer: a, verdict: verdict(c, a), text: b.count(request, a)}
	if l.verdict == mount.Unsure || a.Status == http.StatusCreated {
		b.target.took(c.digest, false)
	}
	if l.verdict == mount.Miss || l.verdict == mount.Refused {
		l.value = No
	}
	return l, s
}

// verified asks for a mount of a blob that the target does not hold, and looks
// whether it is there then.
func (b *prober) verified(ctx context.Context, c content, from string) linked {
	l, s := b.mount(ctx, c, from)
	b.cancel(ctx, b.target, s)
	if l.verdict != mount.Hit && l.verdict != mount.Unsure {
		return l
	}
	stands, text := b.stands(ctx, c)
	l.text += "; " + text
	switch {
	case l.verdict == mount.Hit && stands == No:
		l.phantom, l.value = true, No
	case l.verdict == mount.Hit || stands == Yes:
		l.value = Yes
	}
	return l
}

// twice does the same again if the first mount was a phantom, which is noted.
func (b *prober) twice(ctx context.Context, c content, from string) linked {
	l := b.verified(ctx, c, from)
	if l.phantom {
		b.set(TraitPhantoms, Yes, l.text)
		again := b.verified(ctx, c, from)
		again.text = l.text + "; " + again.text
		return again
	}
	if l.verdict == mount.Hit && b.Of(TraitPhantoms).Value == Unknown {
		b.set(TraitPhantoms, No, l.text)
	}
	return l
}

// stands says whether the target holds a blob: by HEAD where that sees nothing
// else, or by a manifest that names it.
func (b *prober) stands(ctx context.Context, c content) (Value, string) {
	switch {
	case b.Of(TraitHeadLocal).Value == Yes:
		a := b.target.Check(ctx, c.digest)
		text := b.count("HEAD D", a)
		if a.Status == http.StatusNotFound && pause(ctx, lagPause) == nil {
			a = b.target.Check(ctx, c.digest)
			text += "; " + b.count("HEAD D", a)
		}
		return judged(a, a.Status == http.StatusOK), text
	case b.Of(TraitValidates).Value == Yes:
		a, text := b.putManifest(ctx, b.target, manifestOf(c, nil))
		if a.Status == http.StatusInternalServerError { // so it refuses a manifest
			return No, text
		}
		return judged(a, a.OK()), text + " naming D"
	}
	return Unknown, "nothing could verify it"
}

// fromSource asks for all that needs a second repository.
func (b *prober) fromSource(ctx context.Context) {
	needs := []Trait{TraitHeadLocal, TraitMountsFrom, TraitMountsUnreferenced, TraitDiscovers, TraitPhantoms}
	if b.source == nil {
		b.leave("no second repository was named", needs...)
		return
	}
	c := newContent(probeSize)
	if text, ok := b.upload(ctx, b.source, c); !ok {
		b.leave("the second repository took no blob: "+text, needs...)
		return
	}
	b.headLocal(ctx, c)
	b.mountsFrom(ctx)
	b.discovers(ctx)
	b.leave("no mount was answered 201", TraitPhantoms)
}

// headLocal looks in the target for a blob that the second repository holds.
func (b *prober) headLocal(ctx context.Context, c content) {
	if b.Of(TraitHeads).Value != Yes {
		b.leave("no HEAD", TraitHeadLocal)
		return
	}
	a := b.target.Check(ctx, c.digest)
	b.set(TraitHeadLocal, judged(a, a.Status == http.StatusNotFound), b.count("HEAD D of "+b.Source, a))
	if a.OK() { // which may have linked it (zot)
		b.target.took(c.digest, false)
	}
}

// lacking brings a blob to the second repository. The target lacks it: by HEAD
// where that sees nothing else, and since it is new in any case.
func (b *prober) lacking(ctx context.Context, t Trait) (c content, text string, ok bool) {
	c = newContent(probeSize)
	if text, ok = b.upload(ctx, b.source, c); !ok {
		b.leave(text, t)
		return c, text, false
	}
	if b.Of(TraitHeadLocal).Value == Yes {
		text = b.count("HEAD D", b.target.Check(ctx, c.digest)) + "; "
		return c, text, true
	}
	return c, "", true
}

// mountsFrom asks for a mount from the second repository: of a blob that no
// manifest names, and if that is missed of the same blob with one.
func (b *prober) mountsFrom(ctx context.Context) {
	c, before, ok := b.lacking(ctx, TraitMountsFrom)
	if !ok {
		return
	}
	l := b.twice(ctx, c, b.Source)
	text, v := before+l.text, l.value
	unreferenced := v
	if l.verdict == mount.Miss {
		a, put := b.putManifest(ctx, b.source, manifestOf(c, nil))
		text += "; " + put
		if a.OK() {
			l = b.twice(ctx, c, b.Source)
			v, text = l.value, text+"; "+l.text
		} else {
			v = Unknown
		}
	}
	if l.verdict == mount.Refused && (l.Status == http.StatusUnauthorized || l.Status == http.StatusForbidden) {
		v = Unknown
	}
	b.set(TraitMountsFrom, v, text)
	if v == Yes {
		b.set(TraitMountsUnreferenced, unreferenced, text)
	}
	b.leave(text, TraitMountsUnreferenced)
}

// discovers asks for a mount of a blob that only the second repository holds,
// without naming that.
func (b *prober) discovers(ctx context.Context) {
	c, before, ok := b.lacking(ctx, TraitDiscovers)
	if !ok {
		return
	}
	if b.Of(TraitMountsUnreferenced).Value == No {
		_, put := b.putManifest(ctx, b.source, manifestOf(c, nil))
		before += put + "; "
	}
	l := b.twice(ctx, c, "")
	b.set(TraitDiscovers, l.value, before+l.text)
}

// misses asks for mounts of blobs that are nowhere, and uploads in the session
// that one of them opens.
func (b *prober) misses(ctx context.Context) {
	from := b.Source
	if from == "" {
		from = b.Target
	}
	c := newContent(probeSize)
	l, s := b.mount(ctx, c, from)
	b.set(TraitMissOpens, judged(l.Answer, s != nil), l.text)
	if s == nil {
		l, s = b.mount(ctx, c, "")
	}
	if s == nil {
		b.leave("no mount opened a session: "+l.text, TraitMissUploads)
		return
	}
	a := s.Put(ctx, c.digest, c.body())
	b.target.took(c.digest, uploaded(a))
	b.set(TraitMissUploads, judged(a, uploaded(a)), l.text+"; "+b.count("PUT D", a))
	if !uploaded(a) {
		b.cancel(ctx, b.target, s)
	}
}

// inTarget asks for mounts of a blob that the target holds: without from, and
// from the target itself, and from there also of one that is nowhere.
func (b *prober) inTarget(ctx context.Context) {
	l, s := b.mount(ctx, b.known, "")
	b.cancel(ctx, b.target, s)
	taken := l.Status == http.StatusCreated || l.Status == http.StatusAccepted
	b.set(TraitTakesAny, judged(l.Answer, taken), l.text)
	b.set(TraitSeesTarget, judged(l.Answer, l.verdict == mount.Hit), l.text)

	here, s := b.mount(ctx, b.known, b.Target)
	b.cancel(ctx, b.target, s)
	nowhere, s := b.mount(ctx, newContent(probeSize), b.Target)
	b.cancel(ctx, b.target, s)
	b.set(TraitSelfMounts, judged(here.Answer, here.verdict == mount.Hit && nowhere.verdict != mount.Hit),
		here.text+"; of nowhere: "+nowhere.text)
}
