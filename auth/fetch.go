package auth

import (
	"context"
	"errors"
	"net/url"
	"slices"
)

const (
	maxRepositories = 20      // in one token request
	maxQuery        = 4 << 10 // bytes of the scope parameters of one token request
)

// fetch names one token request, for the callers that wait for it together.
type fetch struct {
	realm, service string
	id             identity
	target, want   string
}

// result is the end of a fetch that gave a token.
type result struct {
	token *token

	// short says why the token has no sources although they were asked for and not refused: the token
	// server failed with them and did not without.
	short error
}

// bearer returns the secret of a token that serves need.Must. If the token server does not take the
// credential, the keychain may have a newer one.
func (h *Host) bearer(ctx context.Context, ch *challenge, cred credential, need Need) (string, error) {
	secret, err := h.token(ctx, ch, cred, need)
	if !errors.Is(err, ErrUnauthorized) {
		return secret, err
	}
	newer, ok, lookup := h.renew(ctx, need.Target, func(c credential) bool { return c.id == cred.id })
	if lookup != nil {
		return "", lookup
	}
	if !ok {
		return "", err
	}
	return h.token(ctx, ch, newer, need)
}

// token returns the secret of a token that serves need.Must, from memory or from the token server.
func (h *Host) token(ctx context.Context, ch *challenge, cred credential, need Need) (string, error) {
	target, must := need.target(), need.Must
	t, want := h.memory.plan(cred.id, target, must, need.Wish, h.config.Now())
	if t != nil {
		return t.secret, nil
	}
	r, err := h.shared(ctx, ch, cred, target, want)
	if own := must.only(target); refused(err) && own.String() != want.only(target).String() {
		r, err = h.shared(ctx, ch, cred, target, own)
	}
	if err != nil {
		return "", err
	}
	lacking := h.memory.lacking(r.token, target, must)
	switch {
	case lacking.IsZero():
		return r.token.secret, nil
	case r.short != nil:
		return "", r.short
	}
	e := h.fail("token", ErrSourceRefused)
	e.Realm, e.Scope = ch.realm.Host, lacking.String()
	return "", e
}

// shared obtains a token together with all who want the same one now.
func (h *Host) shared(ctx context.Context, ch *challenge, cred credential, target string, want Scope) (result, error) {
	key := fetch{realm: ch.realm.String(), service: ch.service, id: cred.id, target: target, want: want.String()}
	r, err := h.fetches.Do(ctx, key, func(ctx context.Context) (result, error) {
		return h.obtain(ctx, ch, cred, target, want)
	})
	var e *Error
	if err != nil && !errors.As(err, &e) {
		// The caller's own context has ended while it waited.
		e = h.fail("token", err)
		e.Realm, e.Scope = ch.realm.Host, want.String()
		return r, e
	}
	return r, err
}

// obtain asks for want, and when that is refused, or gives nothing for the target, for the target's part alone.
func (h *Host) obtain(ctx context.Context, ch *challenge, cred credential, target string, want Scope) (result, error) {
	t, want := h.memory.existing(cred.id, target, want, h.config.Now())
	if t != nil {
		return result{token: t}, nil
	}
	sources := want.without(target)
	t, err := h.exchange(ctx, ch, cred, target, want)
	var short error
	useless := err == nil && t.claimed && len(t.granted.actions(target)) == 0
	if useless && !sources.IsZero() {
		if grantsPush(t, sources) { // it is good for another target, and says what is to be read there
			h.memory.keep(cred.id, t, barredBy(t, sources), h.config.Now())
			sources = Scope{}
		}
		t, err = h.exchange(ctx, ch, cred, target, want.only(target))
	} else if !sources.IsZero() && (refused(err) || failed(err)) {
		if failed(err) {
			short = err
		}
		t, err = h.narrowed(ctx, ch, cred, target, want)
	}
	if err != nil {
		return result{}, err
	}
	var barred []string
	if short == nil {
		barred = barredBy(t, sources)
	}
	h.memory.keep(cred.id, t, barred, h.config.Now())
	return result{token: t, short: short}, nil
}

// narrowed asks for less after want was refused: for the target and the other repositories that are pushed to, if
// there are any, since sources are what is mostly refused, and then for the target alone.
func (h *Host) narrowed(ctx context.Context, ch *challenge, cred credential, target string, want Scope) (*token, error) {
	own, pushed := want.only(target), want.only(target)
	for _, r := range want.without(target).Repositories() {
		if want.Contains(Push(r)) {
			pushed = pushed.Union(want.only(r))
		}
	}
	if pushed.String() != own.String() && pushed.String() != want.String() {
		if t, err := h.exchange(ctx, ch, cred, target, pushed); !refused(err) && !failed(err) {
			return t, err
		}
	}
	return h.exchange(ctx, ch, cred, target, own)
}

// grantsPush reports whether a token permits to push to one of the repositories.
func grantsPush(t *token, repositories Scope) bool {
	return slices.ContainsFunc(repositories.Repositories(), func(r string) bool { return t.granted.Contains(Push(r)) })
}

// barredBy returns the sources that a token does not permit to pull. For an
// opaque token, granted is what was asked for last.
func barredBy(t *token, sources Scope) []string {
	return slices.DeleteFunc(sources.Repositories(), func(r string) bool { return t.granted.Contains(Pull(r)) })
}

// failed reports whether err is a token server's inability to answer, which may come from what was asked.
func failed(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status >= 500
}

// bounded returns must, the target first, and as much of wish as one token request may ask for.
func bounded(target string, must, wish Scope) Scope {
	want := must.only(target).Union(wish.only(target)).Union(must)
	size := 0
	for _, p := range want.Params() {
		size += paramSize(p)
	}
	for _, r := range slices.DeleteFunc(wish.Repositories(), func(r string) bool { return r == target }) {
		next := want.Union(wish.only(r))
		size += paramSize(wish.only(r).String())
		if len(next.grants) > maxRepositories || size > maxQuery {
			break
		}
		want = next
	}
	return want
}

func paramSize(param string) int { return len("&scope=") + len(url.QueryEscape(param)) }
