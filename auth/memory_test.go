package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// TestMemoryStaysBounded: however many repositories and credentials there are, and
// however often they are refused.
func TestMemoryStaysBounded(t *testing.T) {
	m, now := newMemory(), time.Now()
	for i := range 5000 {
		repository := fmt.Sprint("team/app", i)
		c := newCredential(authn.AuthConfig{Username: repository})
		m.keepCredential(repository, c)
		m.keep(c.id, &token{secret: repository, target: repository, from: now, until: now.Add(time.Hour)}, nil, now)
		m.keep(identity{}, &token{secret: repository, target: repository, from: now, until: now.Add(time.Hour)}, []string{repository}, now)
		m.verdict(identity{}, repository, repository, Push(repository), "invalid_token", now)
		if i%2 == 0 {
			m.forgetCredential(repository, func(credential) bool { return true }, now)
		}
	}
	a := m.account(identity{})
	for name, n := range map[string][2]int{
		"resolved": {m.resolved.Len(), maxResolved}, "rejected": {m.rejected.Len(), maxResolved},
		"accounts": {m.accounts.Len(), maxAccounts}, "refused": {a.refused.Len(), maxRefused},
		"replaced": {a.replaced.Len(), maxTokens}, "tokens": {len(a.tokens), maxTokens}, "dropped": {len(a.dropped), maxDropped},
	} {
		if n[0] > n[1] {
			t.Errorf("%s: %d, more than %d", name, n[0], n[1])
		}
	}
	if m.accounts.Len() < maxAccounts || a.refused.Len() < maxRefused || m.resolved.Len() == 0 || m.rejected.Len() < maxResolved {
		t.Errorf("%d accounts, %d refused, %d resolved, %d rejected", m.accounts.Len(), a.refused.Len(), m.resolved.Len(), m.rejected.Len())
	}
}
