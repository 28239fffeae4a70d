package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
)

// Auth is how a registry authorizes requests: Basic when Users is set, else Bearer.
type Auth struct {
	// Users are the passwords by user name.
	Users map[string]string

	// Realm is the URL of the token server, and Service the name by which it knows the registry.
	Realm, Service string
	// Verify says which scopes a token grants ("repository:team/app:pull,push"), and whether it is one.
	Verify func(token string) (scopes []string, ok bool)

	// DistributionDelete makes DELETE of an upload session need the action delete, which a token for a push
	// does not grant: distribution. By default it needs push.
	DistributionDelete bool

	// RootOnly denies requests without a credential with 403, and asks for one at /v2/ only.
	RootOnly bool
}

// access is what a request needs of one repository.
type access struct {
	repository string
	actions    []string
}

// needs is what the request needs: push is never enough without pull, and a from parameter needs pull of
// the source whatever the method, as distribution has it.
func (c *call) needs() []access {
	if c.req.Repository == "" {
		return nil
	}
	target := access{repository: c.req.Repository}
	switch {
	case c.r.Method == http.MethodGet || c.r.Method == http.MethodHead:
		target.actions = []string{"pull"}
	case c.r.Method == http.MethodDelete && (c.req.Kind != wire.UploadCancel || c.b.Auth.DistributionDelete):
		target.actions = []string{"delete"}
	default:
		target.actions = []string{"pull", "push"}
	}
	all := []access{target}
	if from := c.r.URL.Query().Get("from"); from != "" {
		all = append(all, access{repository: from, actions: []string{"pull"}})
	}
	return all
}

// refuseUnauthorized answers 401 to a request that may not be made. Without Auth it looks for credentials
// that nobody asked for.
func (c *call) refuseUnauthorized() bool {
	header := c.r.Header.Get("Authorization")
	if c.b.Auth == nil {
		c.reg.mu.Lock()
		c.entry.Authorized = header != ""
		asked := c.reg.challenges > 0
		c.reg.mu.Unlock()
		if header != "" && !asked {
			c.violate("Authorization was sent without a challenge")
		}
		return false
	}
	ok, problem := c.b.Auth.allows(header, c.needs())
	c.reg.mu.Lock()
	c.entry.Authorized = ok
	c.reg.mu.Unlock()
	if ok {
		return false
	}
	c.drain()
	if c.b.Auth.RootOnly && header == "" && c.req.Kind != wire.Ping {
		c.failWith(http.StatusForbidden, wire.CodeDenied, "requested access to the resource is denied")
		return true
	}
	c.challenge(problem)
	c.failWith(http.StatusUnauthorized, wire.CodeUnauthorized, "authentication required")
	return true
}

// allows checks an Authorization header. problem is the error of RFC 6750, "" when nothing was presented.
func (a *Auth) allows(header string, needs []access) (ok bool, problem string) {
	scheme, value, _ := strings.Cut(header, " ")
	if a.Users != nil {
		user, password, valid := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
		known, exists := a.Users[user]
		return valid && exists && known == password, ""
	}
	if header == "" {
		return false, ""
	}
	if !strings.EqualFold(scheme, "Bearer") || a.Verify == nil {
		return false, "invalid_token"
	}
	granted, valid := a.Verify(value)
	if !valid {
		return false, "invalid_token"
	}
	for _, need := range needs {
		if !covers(granted, need) {
			return false, "insufficient_scope"
		}
	}
	return true, ""
}

// covers reports whether the scopes grant all actions of need. Several scopes for one repository add up.
func covers(scopes []string, need access) bool {
	var actions []string
	for _, scope := range scopes {
		rest, ok := strings.CutPrefix(scope, "repository:"+need.repository+":")
		if ok {
			actions = append(actions, strings.Split(rest, ",")...)
		}
	}
	return !slices.ContainsFunc(need.actions, func(action string) bool {
		return !slices.Contains(actions, action) && !slices.Contains(actions, "*")
	})
}

// challenge sets WWW-Authenticate. The scopes of all repositories stand in one string, as distribution
// writes it, and their order changes from one challenge to the next. Without Auth there is nothing to ask
// for.
func (c *call) challenge(problem string) {
	a := c.b.Auth
	if a == nil {
		return
	}
	c.reg.mu.Lock()
	c.reg.challenges++
	turn := c.reg.challenges
	c.reg.mu.Unlock()
	if a.Users != nil {
		c.w.Header().Set("Www-Authenticate", `Basic realm="registrytest"`)
		return
	}
	value := fmt.Sprintf("Bearer realm=%q,service=%q", a.Realm, a.Service)
	if scope := scopeText(c.needs(), turn); scope != "" {
		value += fmt.Sprintf(",scope=%q", scope)
	}
	if problem != "" {
		value += fmt.Sprintf(",error=%q", problem)
	}
	c.w.Header().Set("Www-Authenticate", value)
}

// scopeText writes needs as a scope, in an order that depends on turn.
func scopeText(needs []access, turn int) string {
	var scopes []string
	for _, need := range needs {
		actions := slices.Clone(need.actions)
		if turn%2 == 0 {
			slices.Reverse(actions)
		}
		scopes = append(scopes, "repository:"+need.repository+":"+strings.Join(actions, ","))
	}
	if turn/2%2 == 1 {
		slices.Reverse(scopes)
	}
	return strings.Join(scopes, " ")
}
