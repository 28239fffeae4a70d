package push

import (
	"context"
	"fmt"
	"net/http"

	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/transport"
)

// A registry may notice only a moment later that an upload broke off, or even
// that it began. While its session says that nothing stands, it is asked again up
// to cutTimes, after pauses that double from cutPause seconds.
const (
	cutTimes = 4
	cutPause = 0.1
)

// uploaded says whether an answer that closes an upload says that the blob stands.
func uploaded(a transport.Answer) bool {
	return mount.Judge("", mount.Outcome{Try: mount.Try{Kind: mount.Upload}, Status: a.Status}) == mount.Hit
}

// first uploads the blob that everything else refers to, another one if the answer
// to the first is lost. It returns the last answer, and whether the blob stands.
func (b *prober) first(ctx context.Context) (transport.Answer, bool) {
	a, ok := b.opening(ctx)
	if heardBefore := b.Of(TraitRelative).Evidence != ""; !a.Heard() && heardBefore {
		a, ok = b.opening(ctx)
	}
	return a, ok
}

// opening uploads a blob, and looks at the session in which it does so.
func (b *prober) opening(ctx context.Context) (transport.Answer, bool) {
	b.known = newContent(probeSize)
	a, session := b.target.Start(ctx, b.known.digest)
	text := b.count("POST", a)
	if session == nil {
		return a, false
	}
	l := a.Location()
	leads := text + " Location: " + form(l)
	b.set(TraitRelative, judged(a, l.Relative), leads)
	b.set(TraitOwnHost, judged(a, !l.Foreign), leads)
	b.set(TraitState, judged(a, l.Query), leads)
	b.least = session.Least()
	if b.least > 0 {
		text += fmt.Sprintf(" OCI-Chunk-Min-Length: %d", b.least)
	}
	b.set(TraitLeastChunk, judged(a, b.least > 0), text)
	a = session.Put(ctx, b.known.digest, b.known.body())
	b.target.took(b.known.digest, uploaded(a))
	put := b.count("PUT D", a)
	if !uploaded(a) {
		b.cancel(ctx, b.target, session)
		return a, false
	}
	if a.Digest == "" {
		put += " without a digest"
	}
	b.set(TraitNamesDigest, judged(a, a.Status == http.StatusCreated && a.Digest == b.known.digest), put)
	return a, true
}

// form writes the form of a Location.
func form(l transport.Location) string {
	text := "a URL"
	switch {
	case l.Relative:
		text = "a path"
	case l.Foreign:
		text = "a URL at another host"
	}
	if l.Query {
		text += " with a query"
	}
	return text
}

// upload brings content to a place. The text says what went wrong.
func (b *prober) upload(ctx context.Context, to *place, c content) (text string, ok bool) {
	a, session := to.Start(ctx, c.digest)
	text = b.count("POST "+to.name, a)
	if session == nil {
		return text, false
	}
	a = session.Put(ctx, c.digest, c.body())
	to.took(c.digest, uploaded(a))
	text = b.count("PUT "+to.name+" D", a)
	if !uploaded(a) {
		b.cancel(ctx, to, session)
	}
	return text, uploaded(a)
}

// cancel gives a session up, if there is one, also when ctx has ended, and notes
// if it stays. A registry that is known not to do this is not asked.
func (b *prober) cancel(ctx context.Context, at *place, s *transport.Session) {
	if s == nil {
		return
	}
	if f := b.Of(TraitCancels); f.Value == No {
		at.sessions = append(at.sessions, f.Evidence)
		return
	}
	most := cancelTime
	if ctx.Err() != nil {
		most = hurriedCleanTime
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer stop()
	a := s.Cancel(ctx)
	text := b.count("DELETE session", a)
	if !a.Heard() { // perhaps only the answer was lost
		a = s.Cancel(ctx)
		text = b.count("DELETE session", a)
	}
	if !a.OK() && a.Status != http.StatusNotFound {
		at.sessions = append(at.sessions, text)
	}
}

// heads asks for a blob that stands and for one that does not.
func (b *prober) heads(ctx context.Context) {
	here, nowhere := b.target.Check(ctx, b.known.digest), b.target.Check(ctx, newContent(probeSize).digest)
	text := b.count("HEAD D", here) + "; " + b.count("HEAD nowhere", nowhere)
	v := judged(here, here.Status == http.StatusOK)
	if v == Yes {
		v = judged(nowhere, nowhere.Status == http.StatusNotFound)
	}
	b.set(TraitHeads, v, text)
}

// session opens a session in the target. Without one, the traits are unknown.
func (b *prober) session(ctx context.Context, c content, ts ...Trait) *transport.Session {
	a, s := b.target.Start(ctx, c.digest)
	text := b.count("POST", a)
	if s == nil {
		b.leave(text, ts...)
		return nil
	}
	b.target.took(c.digest, false)
	return s
}

// cancels deletes a new session.
func (b *prober) cancels(ctx context.Context) {
	s := b.session(ctx, newContent(probeSize), TraitCancels)
	if s == nil {
		return
	}
	a := s.Cancel(ctx)
	text := b.count("DELETE session", a)
	b.set(TraitCancels, judged(a, a.OK()), text)
	switch {
	case !a.Heard():
		b.cancel(ctx, b.target, s)
	case !a.OK():
		b.target.sessions = append(b.target.sessions, text)
	}
}

// streams sends a blob in one PATCH and closes the session with an empty PUT.
func (b *prober) streams(ctx context.Context) {
	c := newContent(probeSize)
	s := b.session(ctx, c, TraitStreams)
	if s == nil {
		return
	}
	a := s.Stream(ctx, c.digest, c.body())
	b.set(TraitStreams, judged(a, uploaded(a)), b.count("PATCH D, PUT", a))
	if !uploaded(a) {
		b.cancel(ctx, b.target, s)
	}
}

// parts sends half a blob, asks where the session stands, and sends the rest.
func (b *prober) parts(ctx context.Context) {
	half := max(probeSize, int(b.least))
	if b.least > maxLeast {
		half = 0
	}
	c := newContent(2 * max(half, probeSize))
	s := b.session(ctx, c, TraitParts, TraitStands)
	if s == nil {
		return
	}
	if half == 0 {
		a, _, ok := s.Stands(ctx)
		b.set(TraitStands, judged(a, ok), b.count("GET session", a))
		b.leave(fmt.Sprintf("a part would be %d bytes", b.least), TraitParts)
		b.cancel(ctx, b.target, s)
		return
	}
	size := len(c.data)
	a := s.Part(ctx, c.digest, c.body(), 0, int64(half))
	text := b.count(fmt.Sprintf("PATCH D 0-%d", half-1), a)
	if a.OK() {
		stands, offset, ok := s.Stands(ctx)
		state := b.count("GET session", stands)
		if ok {
			state += fmt.Sprintf(" Range to %d", offset-1)
		}
		b.set(TraitStands, judged(stands, ok && offset == int64(half)), text+"; "+state)
		a = s.Part(ctx, c.digest, c.body(), int64(half), int64(size))
		text += "; " + b.count(fmt.Sprintf("PATCH D %d-%d", half, size-1), a)
	}
	b.leave(text, TraitStands)
	if a.OK() {
		a = s.Finish(ctx, c.digest)
		text += "; " + b.count("PUT", a)
	}
	b.set(TraitParts, judged(a, uploaded(a)), text)
	if !uploaded(a) {
		b.cancel(ctx, b.target, s)
	}
}

// resumes breaks an upload off and goes on with it.
func (b *prober) resumes(ctx context.Context) {
	c := newContent(cutSize)
	s := b.session(ctx, c, TraitResumes)
	if s == nil {
		return
	}
	a := s.Stream(ctx, c.digest, c.broken(cutAt))
	text := "PATCH D, cut"
	if a.Heard() {
		text = b.count(text, a)
	} else {
		b.count(text, a)
	}
	b.awaitCut(ctx, s)
	a = s.Resume(ctx, c.digest, c.body(), 0)
	text += "; " + b.count("GET session and the rest", a)
	if a.OK() {
		text += fmt.Sprintf(" after %d of %d bytes", a.Sent, len(c.data))
	}
	b.set(TraitResumes, judged(a, uploaded(a) && a.Sent < int64(len(c.data))), text)
	if !uploaded(a) {
		b.cancel(ctx, b.target, s)
	}
}

// awaitCut waits until a session says that something stands, or nothing at all.
func (b *prober) awaitCut(ctx context.Context, s *transport.Session) {
	wait := cutPause
	for range cutTimes {
		if pause(ctx, wait) != nil {
			return
		}
		a, offset, ok := s.Stands(ctx)
		b.count("GET session", a)
		if !ok || offset > 0 {
			return
		}
		wait *= 2
	}
}

// single sends a blob in the POST.
func (b *prober) single(ctx context.Context) {
	c := newContent(probeSize)
	a, s := b.target.Single(ctx, c.digest, c.body())
	b.target.took(c.digest, a.Status == http.StatusCreated)
	b.set(TraitSinglePost, judged(a, a.Status == http.StatusCreated), b.count("POST ?digest=D with the content", a))
	b.cancel(ctx, b.target, s)
}
