package registrytest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// claims are what a token says, in the names of the JWT specification and of distribution.
type claims struct {
	Issuer    string        `json:"iss"`
	Subject   string        `json:"sub"`
	Audience  string        `json:"aud"`
	Expires   int64         `json:"exp"`
	NotBefore int64         `json:"nbf"`
	ID        string        `json:"jti"`
	Access    []claimAccess `json:"access"`
}

// claimAccess is one scope of a token.
type claimAccess struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func newKey() []byte { return []byte(rand.Text()) }

// mint makes a token.
func (s *TokenServer) mint(user string, granted []string, now time.Time, life time.Duration, opaque bool) string {
	c := claims{
		Issuer:    TokenService,
		Subject:   user,
		Audience:  TokenService,
		Expires:   now.Add(life).Unix(),
		NotBefore: now.Unix(),
		ID:        rand.Text(),
		Access:    []claimAccess{},
	}
	for _, scope := range granted {
		name, actions, _ := cutLast(strings.TrimPrefix(scope, "repository:"), ":")
		c.Access = append(c.Access, claimAccess{Type: "repository", Name: name, Actions: strings.Split(actions, ",")})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if opaque {
		s.opaque[c.ID] = c
		return c.ID
	}
	payload, err := json.Marshal(c)
	if err != nil {
		panic("registrytest: " + err.Error()) // strings and numbers always marshal
	}
	signed := segment([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + segment(payload)
	return signed + "." + segment(sign(s.key, signed))
}

// Verify says which scopes token grants ("repository:team/app:pull,push"), and whether this server has handed
// it out and it is valid now, by the registry's clock.
func (s *TokenServer) Verify(token string) (scopes []string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.opaque[token]
	if !ok {
		c, ok = s.open(token)
	}
	now := time.Now().Add(s.behaviour.Skew).Unix()
	if !ok || now < c.NotBefore || now >= c.Expires {
		return nil, false
	}
	for _, a := range c.Access {
		scopes = append(scopes, a.Type+":"+a.Name+":"+strings.Join(a.Actions, ","))
	}
	return scopes, true
}

// open checks a JWT and reads it. The caller holds mu.
func (s *TokenServer) open(token string) (claims, bool) {
	signed, signature, found := cutLast(token, ".")
	_, payload, _ := strings.Cut(signed, ".")
	if !found || !hmac.Equal([]byte(signature), []byte(segment(sign(s.key, signed)))) {
		return claims{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return claims{}, false
	}
	var c claims
	err = json.Unmarshal(text, &c)
	return c, err == nil
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
