package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/netguard"
	"github.com/crossmount/crossmount/internal/wire"
)

// do makes a call and repeats it while the retry policy says so. This is the
// one loop that waits.
func (r *Repository) do(ctx context.Context, c call) Answer {
	var sent int64
	requests := 0
	for attempt := 1; ; attempt++ {
		a := r.first(ctx, c)
		sent, requests = sent+a.Sent, requests+a.Requests
		a.Sent, a.Requests = sent, requests
		if ctx.Err() != nil {
			return a
		}
		if a.Heard() && !a.Limited && !transient(a.Status) {
			r.work.answered()
		}
		wait, again := r.host.retry.decide(c.patience, attempt, a, time.Now(), rand.Float64())
		if !again || !r.mayRepeat(a) {
			return a
		}
		r.host.log.Debug("again", "op", c.op, "host", r.host.Name(), "status", a.Status, "wait", wait, "attempt", attempt)
		if sleep(ctx, wait) != nil {
			return a
		}
	}
}

// mayRepeat says whether the work has repeats left. One that the registry asked
// for by a rate limit costs none.
func (r *Repository) mayRepeat(a Answer) bool {
	_, told := retryAfter(a, time.Now())
	return a.Limited && told || r.work.repeat()
}

// sleep waits for d or for the context to end.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// first lets the first request to a host go alone, so that scheme, challenge
// and token are found out once and not by all that start at the same time. If
// it is not heard, it holds the others back no longer.
func (r *Repository) first(ctx context.Context, c call) Answer {
	h := r.host
	if !h.met.Load() {
		leave, err := h.door.take(ctx)
		if err != nil {
			return r.answer(c).unsent(&sending{}, err)
		}
		if h.met.Load() {
			leave()
		} else {
			defer leave()
			defer h.met.Store(true)
		}
	}
	return r.authorized(ctx, c)
}

// answer returns the answer to a call that has not been sent.
func (r *Repository) answer(c call) Answer {
	a := Answer{op: c.op, host: r.host.Name(), repository: r.path(), url: c.url}
	a.digest, a.reference = c.subject()
	return a
}

// maxChallenges bounds how often one request is answered 401 and sent again.
const maxChallenges = 2

// authorized makes a call once, and again with a token when the registry asks
// for one.
func (r *Repository) authorized(ctx context.Context, c call) Answer {
	need := r.need(c.must)
	var sent int64
	requests := 0
	for challenges := 0; ; challenges++ {
		known := r.host.auth.Challenges()
		a, resp := r.routed(ctx, c, need)
		sent, requests = sent+a.Sent, requests+a.Requests
		a.Sent, a.Requests = sent, requests
		again, asked := r.uninvited(ctx, a, resp, need)
		requests += asked
		a.Requests = requests
		if again && !known && challenges < maxChallenges {
			continue
		}
		if a.Status != http.StatusUnauthorized || resp == nil || c.final || challenges == maxChallenges || !r.host.own(a.url) {
			return a
		}
		again, err := r.host.auth.Challenged(ctx, resp, need)
		if err != nil {
			return a.unauthorized(err)
		}
		if !again {
			return a
		}
	}
}

// uninvited says whether a request that went out bare and was denied is worth
// sending again with the credential that there is: a registry that lets anybody
// read may ask for one at its root only, where other clients begin. It is asked
// there once, and what that took is returned.
func (r *Repository) uninvited(ctx context.Context, a Answer, resp *http.Response, need auth.Need) (again bool, requests int) {
	h := r.host
	if a.Status != http.StatusForbidden || a.Limited || resp == nil || !h.own(a.url) || resp.Request.Header.Get("Authorization") != "" {
		return false, 0
	}
	leave, err := h.asking.take(ctx)
	if err != nil {
		return false, 0
	}
	defer leave()
	if !h.asked.Load() && h.auth.Withholds(ctx, r.name) {
		root, answer := r.routed(ctx, call{op: "ask for a challenge", request: wire.Request{Kind: wire.Ping}}, need)
		h.asked.Store(root.Heard() && !root.Limited && !transient(root.Status))
		requests = root.Requests
		if answer != nil {
			_, _ = h.auth.Challenged(ctx, answer, need) // what it says is known then
		}
	}
	return h.auth.Challenges(), requests
}

// unauthorized returns a with the reason why no token could be had. A refusal
// is an answer of the registry's realm; anything else is no answer.
func (a Answer) unauthorized(err error) Answer {
	a.Status, a.Err = http.StatusUnauthorized, err
	if !errors.Is(err, auth.ErrSourceRefused) && !errors.Is(err, auth.ErrUnauthorized) && !errors.Is(err, auth.ErrDenied) {
		a.Status = 0
	}
	return a
}

// routed makes a call and follows where the registry sends it on.
func (r *Repository) routed(ctx context.Context, c call, need auth.Need) (Answer, *http.Response) {
	method, u := c.target(r.host)
	var sent int64
	requests := 0
	for hops := 0; ; hops++ {
		a, resp := r.contact(ctx, c, method, u, need)
		sent, requests = sent+a.Sent, requests+a.Requests
		a.Sent, a.Requests = sent, requests
		if resp == nil || !redirected(a.Status, a.header) {
			return a, resp
		}
		next, err := r.redirect(a)
		if err == nil && hops == maxRedirects {
			err = fmt.Errorf("%w: more than %d redirects", ErrForeign, maxRedirects)
		}
		if err != nil {
			a.Status, a.Err = 0, err
			return a, nil
		}
		u = next
	}
}

// exchange sends one request and reads its answer. The response is returned
// for its status and header; its body is closed.
func (r *Repository) exchange(ctx context.Context, c call, method string, u *url.URL, need auth.Need) (Answer, *http.Response) {
	h := r.host
	a := r.answer(c)
	a.url = u
	s := &sending{call: c}
	req := s.newRequest(ctx, method, u)
	req.Header.Set("User-Agent", h.agent)
	if err := h.authorize(ctx, req, need); err != nil {
		return a.unauthorized(err), nil
	}
	release, err := h.place(ctx, r.work, c)
	if err != nil {
		return a.unsent(s, err), nil
	}
	defer release()
	if err := h.authorize(ctx, req, need); err != nil { // again: the token may have run out while the request waited
		return a.unauthorized(err), nil
	}
	watched, w := watch(ctx, h.stall, c.commitTime(h.stall), h.few)
	defer w.end()
	req = req.WithContext(watched)
	if err := s.load(req, w); err != nil {
		return a.unsent(s, err), nil
	}
	w.commits = method == http.MethodPut && !c.carries()
	began := time.Now()
	a.Requests = 1
	resp, err := h.base.RoundTrip(req)
	if err != nil {
		if watched.Err() != nil {
			err = context.Cause(watched) // whatever the request broke off with
		}
		a = a.unsent(s, err)
		a.Late = c.blob > 0 && w.late(err)
	} else {
		w.moved()
		if resp.Body == nil { // http.Client takes that from a RoundTripper too
			resp.Body = http.NoBody
		}
		if resp.Request == nil {
			resp.Request = req
		}
		resp.Body = w.received(resp.Body)
		a = a.read(resp, c)
		a.Sent, _ = s.result()
	}
	h.requests.heed(a, began)
	if c.carries() {
		h.uploads.heed(a, began)
	}
	h.log.Debug("request", "op", c.op, "method", method, "host", u.Host, "repository", r.path(),
		"digest", a.digest, "reference", a.reference, "from", c.request.From, "status", a.Status, "took", time.Since(began))
	return a, resp
}

// authorize gives a request to the host itself the credential that there is for
// it. Another request may show meanwhile which scheme the host speaks, and be asked
// for a credential: this one does not get it then if it is of the other scheme.
func (h *Host) authorize(ctx context.Context, req *http.Request, need auth.Need) error {
	var err error
	if h.own(req.URL) {
		err = h.auth.Authorize(ctx, req, need)
	}
	if !h.own(req.URL) {
		req.Header.Del("Authorization")
		return nil
	}
	return err
}

// place waits until a call may go on the wire, and returns what to call when it is
// off it again. One with content needs a place among the uploads first, so that
// uploads do not keep questions waiting.
func (h *Host) place(ctx context.Context, w *Work, c call) (release func(), err error) {
	if !c.carries() {
		return h.requests.take(ctx, w, 0)
	}
	leave, err := h.uploads.take(ctx, w, c.size())
	if err != nil {
		return nil, err
	}
	off, err := h.requests.take(ctx, w, c.size())
	if err != nil {
		leave()
		return nil, err
	}
	return func() { off(); leave() }, nil
}

// unsent returns a for a request that was not answered.
func (a Answer) unsent(s *sending, err error) Answer {
	sent, bad := s.result()
	a.Sent, a.Err = sent, err
	switch {
	case bad != nil:
		a.Err = bad
	case errors.Is(err, netguard.ErrForbidden):
		a.Err = fmt.Errorf("%w: %w", ErrForeign, err)
	}
	a.Content = errors.Is(a.Err, ErrContent)
	return a
}

// errReplySize says that a reply was cut off.
var errReplySize = errors.New("it is too large")

// read fills in what the response says and closes it. Of a body only a bounded
// part is read.
func (a Answer) read(resp *http.Response, c call) Answer {
	defer resp.Body.Close()
	a.header = resp.Header
	limit := int64(wire.MaxErrorBody)
	if resp.StatusCode == http.StatusOK && c.keep > 0 {
		limit = c.keep
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil && resp.StatusCode < 300 && c.keep > 0:
		a.Err = fmt.Errorf("read reply: %w", err)
		return a
	case int64(len(body)) > limit && c.keep > 0 && resp.StatusCode == http.StatusOK:
		a.Err = fmt.Errorf("read reply: %w: more than %d bytes", errReplySize, limit)
		return a
	}
	a.Status, a.body = resp.StatusCode, body
	if resp.StatusCode >= 400 {
		a.Errors = wire.ParseErrors(body)
	}
	if d, err := digest.Parse(resp.Header.Get("Docker-Content-Digest")); err == nil {
		a.Digest = d
	}
	a.Limited = limited(a)
	return a
}
