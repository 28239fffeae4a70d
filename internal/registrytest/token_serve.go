package registrytest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crossmount/crossmount/internal/wire"
)

// maxTokenForm is how many bytes of a form are read.
const maxTokenForm = 1 << 20

// tokenCall is one request to a token server.
type tokenCall struct {
	s     *TokenServer
	b     TokenBehaviour
	w     http.ResponseWriter
	r     *http.Request
	entry *TokenEntry
	fail  bool // one of the first requests, which fail
}

// ServeHTTP answers GET (token specification) and POST (OAuth2), whatever the path.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenForm)
	// A form that cannot be read has no values, which is answered below.
	_ = r.ParseForm()
	c := s.begin(w, r)
	if !c.wait() {
		return
	}
	switch {
	case c.fail:
		if c.b.RetryAfter != "" {
			w.Header().Set("Retry-After", c.b.RetryAfter)
		}
		c.refuse(cmp.Or(c.b.FailStatus, http.StatusInternalServerError), wire.CodeUnavailable, "token server out of order")
	case r.Method == http.MethodGet:
		c.get()
	case r.Method == http.MethodPost && c.b.NoOAuth2 == 0:
		c.post()
	default:
		c.refuse(cmp.Or(c.b.NoOAuth2, http.StatusMethodNotAllowed), wire.CodeUnsupported, "no such endpoint")
	}
}

// begin logs a request that has arrived.
func (s *TokenServer) begin(w http.ResponseWriter, r *http.Request) *tokenCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	e := &TokenEntry{
		Seq:       s.serial,
		Method:    r.Method,
		Service:   r.Form.Get("service"),
		Scopes:    slices.Clone(r.Form["scope"]),
		UserAgent: r.UserAgent(),
		Header:    r.Header.Clone(),
	}
	s.entries = append(s.entries, e)
	c := &tokenCall{s: s, b: s.behaviour, w: w, r: r, entry: e}
	if s.behaviour.FailFirst > 0 {
		s.behaviour.FailFirst--
		c.fail = true
	}
	return c
}

// wait reports whether the client is still there after the delay.
func (c *tokenCall) wait() bool {
	if c.b.Delay == 0 {
		return true
	}
	timer := time.NewTimer(c.b.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
		return false
	}
}

// get answers the token specification: credentials by Basic, or none.
func (c *tokenCall) get() {
	name, password, given := c.r.BasicAuth()
	if !given {
		if c.b.CredentialsNeeded {
			c.refuse(http.StatusUnauthorized, wire.CodeUnauthorized, "credentials needed")
			return
		}
		c.grant("", c.b.Anonymous)
		return
	}
	user, known := c.b.Users[name]
	if c.b.Users != nil && (!known || user.Password != password) {
		c.refuse(http.StatusUnauthorized, wire.CodeUnauthorized, "incorrect username or password")
		return
	}
	c.grant(name, user.Access)
}

// post answers the OAuth2 specification: a refresh token, or a password.
func (c *tokenCall) post() {
	form := c.r.PostForm
	for name, user := range c.b.Users {
		byToken := form.Get("grant_type") == "refresh_token" &&
			user.IdentityToken != "" && form.Get("refresh_token") == user.IdentityToken
		byPassword := form.Get("grant_type") == "password" && form.Get("username") == name && form.Get("password") == user.Password
		if byToken || byPassword {
			c.grant(name, user.Access)
			return
		}
	}
	c.refuse(http.StatusUnauthorized, wire.CodeUnauthorized, "invalid grant")
}

// grant answers with a token for what user asks for and may have.
func (c *tokenCall) grant(user string, access []string) {
	c.s.note(func() { c.entry.User = user })
	if c.b.RefuseRepeated && len(c.entry.Scopes) > 1 {
		c.refuse(http.StatusBadRequest, wire.CodeUnsupported, "one scope, please")
		return
	}
	asked := strings.Fields(strings.Join(c.entry.Scopes, " "))
	if c.b.RefuseImpossible && slices.ContainsFunc(asked, impossible) {
		c.reply(http.StatusBadRequest, map[string]any{"details": "invalid repository name"})
		return
	}
	if n := len(asked); n > 1 && c.b.FirstOnly {
		asked = asked[:1]
	} else if n > 1 && c.b.LastOnly {
		asked = asked[n-1:]
	}
	var granted []string
	for _, scope := range asked {
		allowed := permitted(scope, access, c.b.Users == nil)
		if allowed != scope && c.b.RefuseForeign != 0 {
			c.refuse(c.b.RefuseForeign, wire.CodeDenied, "access token has insufficient scopes")
			return
		}
		if allowed != "" {
			granted = append(granted, allowed)
		}
	}
	c.s.note(func() { c.entry.Granted = granted })
	c.token(user, granted)
}

// token answers with a token.
func (c *tokenCall) token(user string, granted []string) {
	now := time.Now()
	life := cmp.Or(c.b.Life, 5*time.Minute)
	secret := c.s.mint(user, granted, now, life, c.b.Opaque)
	body := map[string]any{
		"access_token": secret,
		"issued_at":    now.UTC().Format(time.RFC3339),
		"x_grease":     []string{"unknown fields are ignored"},
	}
	if !c.b.OmitExpiresIn {
		body["expires_in"] = int(life / time.Second)
	}
	if c.r.Method == http.MethodPost {
		body["scope"] = strings.Join(granted, " ")
	} else {
		body["token"] = secret
	}
	c.reply(http.StatusOK, body)
}

func (c *tokenCall) refuse(status int, code wire.Code, message string) {
	c.s.note(func() { c.entry.Status = status })
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	// A client that has gone away hears nothing.
	_, _ = c.w.Write(wire.FormatErrors(wire.Error{Code: code, Message: message}))
}

func (c *tokenCall) reply(status int, body map[string]any) {
	c.s.note(func() { c.entry.Status = status })
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	// A client that has gone away hears nothing.
	_ = json.NewEncoder(c.w).Encode(body)
}

// note changes an entry of the log.
func (s *TokenServer) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// impossible reports whether Docker Hub cannot have the repository of scope.
func impossible(scope string) bool { return strings.Count(scope, "/") > 1 }

// permitted returns scope without the actions that access does not have, "" if none is left or if it is no
// scope on a repository.
func permitted(scope string, access []string, all bool) string {
	rest, ok := strings.CutPrefix(scope, "repository:")
	name, actions, found := cutLast(rest, ":")
	if !ok || !found {
		return ""
	}
	if all {
		return scope
	}
	var allowed []string
	for _, a := range access {
		pattern, list, _ := cutLast(a, ":")
		prefix, wild := strings.CutSuffix(pattern, "*")
		if name == pattern || wild && strings.HasPrefix(name, prefix) {
			allowed = append(allowed, strings.Split(list, ",")...)
		}
	}
	kept := slices.DeleteFunc(strings.Split(actions, ","), func(a string) bool { return !slices.Contains(allowed, a) })
	if len(kept) == 0 {
		return ""
	}
	return "repository:" + name + ":" + strings.Join(kept, ",")
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
