package auth

import (
	"sync"
	"time"

	"github.com/crossmount/crossmount/internal/lru"
)

// memory is what a Host has learnt. It makes no requests, so that its mutex is never held for long.
type memory struct {
	mu        sync.Mutex // guards all fields below and what they hold
	challenge *challenge
	scope     Scope                        // of the last challenge to a request that states no scope itself
	resolved  *lru.Map[string, credential] // by repository
	rejected  *lru.Map[string, time.Time]  // repositories whose credential was looked up anew, and when
	accounts  *lru.Map[identity, *account] // by credential
}

// The bounds of what is remembered of one registry. What is forgotten is asked for
// again.
const (
	maxResolved = 1024 // repositories
	maxAccounts = 32   // credentials
	maxRefused  = 1024 // repositories, of one credential
)

func newMemory() *memory {
	return &memory{
		resolved: lru.New[string, credential](maxResolved),
		rejected: lru.New[string, time.Time](maxResolved),
		accounts: lru.New[identity, *account](maxAccounts),
	}
}

// account returns the account of a credential. The caller holds mu.
func (m *memory) account(id identity) *account {
	a, ok := m.accounts.Get(id)
	if !ok {
		a = &account{refused: lru.New[string, time.Time](maxRefused), replaced: lru.New[string, replacement](maxTokens)}
		m.accounts.Put(id, a)
	}
	return a
}

// known returns the challenge of the registry, nil before there was one, and the scope to use for a request
// that states none.
func (m *memory) known() (*challenge, Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.challenge, m.scope
}

// learn takes in a challenge, nil for an answer without one, and returns the one that holds from now on. A
// Basic challenge does not replace a Bearer one: Harbor sends it for every request that carried a token.
func (m *memory) learn(offered *challenge, stated bool) *challenge {
	m.mu.Lock()
	defer m.mu.Unlock()
	if offered == nil || m.challenge != nil && m.challenge.bearer && !offered.bearer {
		return m.challenge
	}
	m.challenge = offered
	if !stated {
		m.scope = ParseScope(offered.scope)
	}
	return offered
}

func (m *memory) credential(repository string) (credential, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resolved.Get(repository)
}

func (m *memory) keepCredential(repository string, c credential) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resolved.Put(repository, c)
}

// forgetCredential makes the next request look up the credential of repository anew, if stale is true of the
// one that is held. It gives false when that was done only just now.
func (m *memory) forgetCredential(repository string, stale func(credential) bool, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.resolved.Get(repository)
	if !ok || !stale(c) {
		return true // another caller has done it
	}
	if at, again := m.rejected.Get(repository); again && now.Sub(at) < settled {
		return false
	}
	m.resolved.Delete(repository)
	m.rejected.Put(repository, now)
	return true
}

// plan finds a token that serves must, or else says what to ask for: want, without wishes that were refused.
func (m *memory) plan(id identity, target string, must, wish Scope, now time.Time) (t *token, want Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account(id)
	if t := a.valid(must, now); t != nil {
		return t, Scope{}
	}
	return nil, bounded(target, must, wish.without(a.refusedIn(wish.without(target), now)...))
}

// existing returns what is left of want without the sources that were refused, and a token for which that was
// asked, if there is one.
func (m *memory) existing(id identity, target string, want Scope, now time.Time) (*token, Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account(id)
	want = want.without(a.refusedIn(want.without(target), now)...)
	return a.asked(target, want, now), want
}

// keep adds a token and remembers the sources that it turned out not to be had for.
func (m *memory) keep(id identity, t *token, refused []string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account(id)
	a.refuse(refused, now)
	a.keep(t, now)
}

// lacking returns the sources in must that t does not permit. What it lacks for the target itself is for the
// registry to say: the claim of a token may be misread.
func (m *memory) lacking(t *token, target string, must Scope) Scope {
	m.mu.Lock()
	defer m.mu.Unlock()
	return must.Minus(t.granted).without(target)
}

// verdict is told that the registry refused a request with the token secret for lack of scope, or because
// it does not take the token. again says that another token is worth a try.
func (m *memory) verdict(id identity, secret, target string, must Scope, reason string, now time.Time) (again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account(id)
	t := a.bySecret(secret)
	if t == nil {
		return a.lastWord(secret)
	}
	sources, extras := must.without(target), t.asked.without(target)
	fresh := now.Sub(t.from) < settled
	scope := reason == "insufficient_scope" || reason == "" && fresh && !sources.IsZero()
	switch {
	case scope && t.claimed && !t.granted.Contains(must.only(target)):
		// The target is what the credential has no right to: that says nothing of a source.
		return !fresh && a.replace(t, now)
	case scope && !sources.IsZero():
		// The token may be good for the target. Without the source the request may succeed.
		a.refuse(sources.Repositories(), now)
		t.granted, t.asked = t.granted.Minus(sources), t.asked.Minus(sources)
		return false
	case scope && fresh && (t.claimed || extras.IsZero()):
		// Asked for and granted as it should be, and still not enough: the credential has no right to it.
		return false
	case scope && fresh:
		// One scope alone may have been honoured: the first one, or the last.
		a.refuse(extras.Repositories(), now)
	}
	return a.replace(t, now)
}

// readable tells whether tokens permit to pull source. The claims of tokens are known, what opaque tokens
// permit is not.
func (m *memory) readable(target, source string, now time.Time) (readable, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.resolved.Get(target)
	if !ok {
		return false, false
	}
	a := m.account(c.id)
	if a.isRefused(source, now) {
		return false, true
	}
	for _, t := range a.tokens {
		if t.claimed && t.granted.Contains(Pull(source)) {
			return true, true
		}
	}
	return false, false
}
