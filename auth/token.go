package auth

import (
	"slices"
	"time"

	"github.com/crossmount/crossmount/internal/lru"
)

const (
	defaultLife = 60 * time.Second // of a token without expires_in, by the token specification
	maxLife     = 24 * time.Hour
	maxLeeway   = 10 * time.Second // a token is renewed this long before its end, or a tenth of its life

	// settled is the age from which on a token counts as one that was good: a 401 then means that it has
	// gone stale, and before it that it never was what it seemed.
	settled = 10 * time.Second

	refusalLife = 10 * time.Minute // how long a refused source is not asked for again
	maxTokens   = 64               // tokens of one credential that are kept
	maxDropped  = 64               // tokens of one credential that are remembered as dropped
)

// token is a token as it was handed out, and what it is believed to permit.
type token struct {
	secret  string
	target  string // the repository that it was asked for
	asked   Scope
	granted Scope // from its access claim, else asked; corrected by the registry's answers
	claimed bool  // granted comes from the access claim

	from  time.Time // when it was asked for: the clock of the token server does not count
	until time.Time // when it is to be renewed

	// generation counts the tokens that were fetched, one in place of the other, because the registry
	// refused the one before at once. It starts at 1.
	generation int
}

// lifetime gives the time for which a token is used, from its expires_in in seconds.
func lifetime(expiresIn int) time.Duration {
	life := defaultLife
	if expiresIn > 0 {
		life = min(time.Duration(min(expiresIn, int(maxLife/time.Second)))*time.Second, maxLife)
	}
	return life - min(maxLeeway, life/10)
}

// account is what is known for one credential. The mutex of memory guards it.
type account struct {
	tokens   []*token
	refused  *lru.Map[string, time.Time]   // repositories that tokens are not to be had for, with the time of the refusal
	replaced *lru.Map[string, replacement] // by target
	dropped  []verdict                     // tokens no longer used, oldest first
}

// replacement says, for a target, which generation the next token is if it is fetched soon after at.
type replacement struct {
	generation int
	at         time.Time
}

// verdict is what is said of a request that carried a token which is no longer used.
type verdict struct {
	secret string
	again  bool
}

// valid finds a token for must that need not be renewed.
func (a *account) valid(must Scope, now time.Time) *token {
	for _, t := range a.tokens {
		if now.Before(t.until) && t.granted.Contains(must) {
			return t
		}
	}
	return nil
}

// asked finds a token that need not be renewed and for which want was asked.
func (a *account) asked(target string, want Scope, now time.Time) *token {
	for _, t := range a.tokens {
		if now.Before(t.until) && t.target == target && t.asked.Contains(want) {
			return t
		}
	}
	return nil
}

// bySecret finds the token that a request carried.
func (a *account) bySecret(secret string) *token {
	for _, t := range a.tokens {
		if t.secret == secret {
			return t
		}
	}
	return nil
}

// keep adds a token, newest first, and lets go of those that are over.
func (a *account) keep(t *token, now time.Time) {
	t.generation = 1
	if r, ok := a.replaced.Get(t.target); ok && now.Sub(r.at) < settled {
		t.generation = r.generation
	}
	for _, old := range slices.Clone(a.tokens) {
		if !now.Before(old.until) {
			a.drop(old, true)
		}
	}
	a.tokens = slices.Insert(a.tokens, 0, t)
	if len(a.tokens) > maxTokens {
		a.drop(a.tokens[maxTokens], true)
	}
}

// drop stops the use of t. again is the answer to all who come with it later.
func (a *account) drop(t *token, again bool) {
	a.tokens = slices.DeleteFunc(a.tokens, func(other *token) bool { return other == t })
	a.dropped = append(a.dropped, verdict{secret: t.secret, again: again})
	if n := len(a.dropped) - maxDropped; n > 0 {
		a.dropped = slices.Delete(a.dropped, 0, n)
	}
}

// replace drops t and reports whether a new token is worth a try: it is unless t was one already.
func (a *account) replace(t *token, now time.Time) (again bool) {
	again = true
	if now.Sub(t.from) < settled {
		again = t.generation == 1
		a.replaced.Put(t.target, replacement{generation: t.generation + 1, at: now})
	}
	a.drop(t, again)
	return again
}

// lastWord answers for a token that is no longer used.
func (a *account) lastWord(secret string) (again bool) {
	for _, v := range slices.Backward(a.dropped) {
		if v.secret == secret {
			return v.again
		}
	}
	return false
}

// refuse remembers that no token is to be had for repositories along with the target's.
func (a *account) refuse(repositories []string, now time.Time) {
	for _, r := range repositories {
		a.refused.Put(r, now)
	}
}

// isRefused reports whether repository was refused lately.
func (a *account) isRefused(repository string, now time.Time) bool {
	at, ok := a.refused.Get(repository)
	return ok && now.Sub(at) < refusalLife
}

// refusedIn returns the repositories of s that were refused lately.
func (a *account) refusedIn(s Scope, now time.Time) []string {
	return slices.DeleteFunc(s.Repositories(), func(r string) bool { return !a.isRefused(r, now) })
}
