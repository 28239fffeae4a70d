package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestGranted(t *testing.T) {
	tests := []struct {
		name, token, want string
		ok                bool
	}{
		{"access", jwt(`{"access":[{"type":"repository","name":"b","actions":["push","pull"]},{"type":"repository","name":"a","actions":["*"]}]}`),
			"repository:a:* repository:b:pull,push", true},
		{"padded", "e30." + base64.URLEncoding.EncodeToString([]byte(`{"access":[{"type":"repository","name":"a","actions":["pull"]}]} `)) + ".x",
			"repository:a:pull", true},
		{"nothing", jwt(`{"access":[]}`), "", true},
		{"other types and junk", jwt(`{"access":[{"type":"registry","name":"catalog","actions":["*"]},{"type":"repository","name":"","actions":["pull"]},{"type":"repository","name":"a","actions":["a b",""]}]}`),
			"", true},
		{"null", jwt(`{"access":null}`), "", false},
		{"no claim", jwt(`{"aud":"x"}`), "", false},
		{"wrong type", jwt(`{"access":"all"}`), "", false},
		{"no JSON", jwt(`x`), "", false},
		{"no base64", "a.!.c", "", false},
		{"opaque", "djE6abc", "", false},
		{"encrypted", "a.b.c.d.e", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if s, ok := granted(tt.token); ok != tt.ok || s.String() != tt.want {
				t.Errorf("%q, %v; want %q, %v", s, ok, tt.want, tt.ok)
			}
		})
	}
	many := strings.Repeat(`{"type":"repository","name":"a%d","actions":["pull"]},`, 1000)
	for i := range 1000 {
		many = strings.Replace(many, "%d", fmt.Sprint(i), 1)
	}
	if s, _ := granted(jwt(`{"access":[` + strings.TrimSuffix(many, ",") + `]}`)); len(s.grants) != maxClaims {
		t.Errorf("%d entries, want %d", len(s.grants), maxClaims)
	}
}

func FuzzGranted(f *testing.F) {
	f.Add(`{"access":[{"type":"repository","name":"a","actions":["pull"]}]}`, "e30.e30.e30")
	f.Fuzz(func(t *testing.T, payload, token string) {
		for _, text := range []string{jwt(payload), token} {
			if s, ok := granted(text); !ok && !s.IsZero() || len(s.grants) > maxClaims {
				t.Fatalf("%q gave %q, %v", text, s, ok)
			}
		}
	})
}

func TestLifetime(t *testing.T) {
	for in, want := range map[int]time.Duration{
		0: 54 * time.Second, -5: 54 * time.Second, 1: 900 * time.Millisecond, 60: 54 * time.Second, 100: 90 * time.Second,
		300: 290 * time.Second, 1 << 62: 24*time.Hour - 10*time.Second,
	} {
		if got := lifetime(in); got != want {
			t.Errorf("%d: %v, want %v", in, got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  *Error
		want string
	}{
		{&Error{Op: "token", Host: "r.test", Realm: "t.test", Scope: "repository:a:pull", Status: 403, Codes: []string{"DENIED", "X"}},
			"auth: token for r.test from t.test (repository:a:pull): 403 Forbidden: DENIED, X"},
		{&Error{Op: "challenge", Host: "r.test", Err: errRealmUser}, "auth: challenge for r.test: the realm carries user information"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
	cause := errors.New("cause")
	wrapped := fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: "http://h/?secret", Err: &url.Error{Op: "Get", URL: "http://i/?secret", Err: cause}})
	if got := withoutURL(wrapped); got != cause {
		t.Errorf("%v", got)
	}
}

func TestIdentity(t *testing.T) {
	configs := []authn.AuthConfig{
		{}, {Username: "ab", Password: "c"}, {Username: "a", Password: "bc"}, {Username: "abc"}, {Password: "abc"},
		{Auth: "abc"}, {IdentityToken: "abc"}, {RegistryToken: "abc"},
	}
	seen := map[identity]authn.AuthConfig{}
	for _, c := range configs {
		id := newCredential(c).id
		if other, ok := seen[id]; ok {
			t.Errorf("%+v and %+v are the same", c, other)
		}
		seen[id] = c
		if newCredential(c).id != id {
			t.Errorf("%+v is not the same as itself", c)
		}
	}
}

// What is kept for a credential does not grow without bound.
func TestAccountIsBounded(t *testing.T) {
	a := newMemory().account(identity{})
	start := time.Now()
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Second)
		a.keep(&token{secret: fmt.Sprint(i), granted: Pull(fmt.Sprint(i)), from: now, until: start.Add(time.Hour)}, now)
		if len(a.tokens) > maxTokens || len(a.dropped) > maxDropped {
			t.Fatalf("%d tokens, %d dropped", len(a.tokens), len(a.dropped))
		}
	}
	if a.valid(Pull("999"), start) == nil || a.valid(Pull("0"), start) != nil || a.bySecret("999") == nil {
		t.Error("the newest tokens are not the ones that are kept")
	}
	if !a.lastWord("935") || a.lastWord("0") {
		t.Error("a token that was let go asks for a new one, unless it was long ago")
	}
	a.keep(&token{secret: "new", until: start.Add(3 * time.Hour)}, start.Add(2*time.Hour))
	if len(a.tokens) != 1 {
		t.Errorf("%d tokens, want the one that is not over", len(a.tokens))
	}
}
