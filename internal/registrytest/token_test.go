package registrytest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tokenUsers are alice, who may push to app and read base and all of team, and bob, who may read base.
func tokenUsers() map[string]TokenUser {
	return map[string]TokenUser{
		"alice": {Password: "a", IdentityToken: "id-a", Access: []string{"app:pull,push", "base:pull", "team/*:pull"}},
		"bob":   {Password: "b", Access: []string{"base:pull"}},
	}
}

// tokenReply is the answer of a token server.
type tokenReply struct {
	status  int
	body    string
	header  http.Header
	err     error
	Token   string `json:"token"`
	Access  string `json:"access_token"`
	Expires int    `json:"expires_in"`
	Scope   string `json:"scope"`
}

// askToken asks for scopes as a user ("alice:a"), with one parameter each.
func askToken(ctx context.Context, t *testing.T, s *TokenServer, user string, scopes ...string) tokenReply {
	t.Helper()
	query := url.Values{"service": {TokenService}, "scope": scopes}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tokens.test/token?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	return sendToken(t, s, req)
}

func sendToken(t *testing.T, s *TokenServer, req *http.Request) tokenReply {
	t.Helper()
	resp, err := Network{"tokens.test": s}.RoundTrip(req)
	if err != nil {
		return tokenReply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return tokenReply{err: err}
	}
	r := tokenReply{status: resp.StatusCode, body: string(body), header: resp.Header}
	if r.status == http.StatusOK {
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return r
}

const (
	pushApp  = "repository:app:pull,push"
	pullBase = "repository:base:pull"
	pullMine = "repository:mine:pull"
)

func TestTokenGrants(t *testing.T) {
	tests := []struct {
		name      string
		behaviour TokenBehaviour
		user      string
		scopes    []string
		status    int
		granted   []string
		body      string // part of a refusal
	}{
		{"everybody, everything", TokenBehaviour{}, "", []string{pushApp, pullBase}, 200, []string{pushApp, pullBase}, ""},
		{"no scope", TokenBehaviour{}, "", nil, 200, nil, ""},
		{"what the user may do", TokenBehaviour{Users: tokenUsers()}, "alice:a", []string{pushApp, pullMine, "repository:base:pull,push", "repository:team/x:pull"}, 200,
			[]string{pushApp, pullBase, "repository:team/x:pull"}, ""},
		{"scopes in one parameter", TokenBehaviour{Users: tokenUsers()}, "alice:a", []string{pushApp + " " + pullBase}, 200, []string{pushApp, pullBase}, ""},
		{"junk", TokenBehaviour{}, "", []string{"registry:catalog:*", "repository:", "x"}, 200, nil, ""},
		{"another user", TokenBehaviour{Users: tokenUsers()}, "bob:b", []string{pushApp, pullBase}, 200, []string{pullBase}, ""},
		{"wrong password", TokenBehaviour{Users: tokenUsers()}, "bob:a", []string{pullBase}, 401, nil, "UNAUTHORIZED"},
		{"unknown user", TokenBehaviour{Users: tokenUsers()}, "eve:", []string{pullBase}, 401, nil, "UNAUTHORIZED"},
		{"anonymous may nothing", TokenBehaviour{Users: tokenUsers()}, "", []string{pullBase}, 200, nil, ""},
		{"anonymous may read", TokenBehaviour{Users: tokenUsers(), Anonymous: []string{"base:pull"}}, "", []string{pushApp, pullBase}, 200, []string{pullBase}, ""},
		{"credentials needed", TokenBehaviour{CredentialsNeeded: true}, "", []string{pullBase}, 401, nil, "UNAUTHORIZED"},
		{"refused as a whole, 400", TokenBehaviour{Users: tokenUsers(), RefuseForeign: 400}, "alice:a", []string{pushApp, pullMine}, 400, nil, "insufficient scopes"},
		{"refused as a whole, 403", TokenBehaviour{Users: tokenUsers(), RefuseForeign: 403}, "alice:a", []string{pushApp, "repository:base:pull,push"}, 403, nil, "DENIED"},
		{"not refused", TokenBehaviour{Users: tokenUsers(), RefuseForeign: 403}, "alice:a", []string{pushApp, pullBase}, 200, []string{pushApp, pullBase}, ""},
		{"impossible name", TokenBehaviour{RefuseImpossible: true}, "", []string{pushApp, "repository:a/b/c:pull"}, 400, nil, `{"details":"invalid repository name"}`},
		{"possible name", TokenBehaviour{RefuseImpossible: true}, "", []string{"repository:a/b:pull"}, 200, []string{"repository:a/b:pull"}, ""},
		{"repeated parameters", TokenBehaviour{RefuseRepeated: true}, "", []string{pushApp, pullBase}, 400, nil, "UNSUPPORTED"},
		{"one parameter", TokenBehaviour{RefuseRepeated: true}, "", []string{pushApp}, 200, []string{pushApp}, ""},
		{"first only", TokenBehaviour{FirstOnly: true}, "", []string{pushApp, pullBase}, 200, []string{pushApp}, ""},
		{"last only", TokenBehaviour{LastOnly: true}, "", []string{pushApp, pullBase}, 200, []string{pullBase}, ""},
		{"opaque", TokenBehaviour{Opaque: true}, "", []string{pushApp}, 200, []string{pushApp}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewTokenServer(tt.behaviour)
			r := askToken(t.Context(), t, s, tt.user, tt.scopes...)
			if r.status != tt.status || !strings.Contains(r.body, tt.body) {
				t.Fatalf("%d %s, %v", r.status, r.body, r.err)
			}
			entry := s.Log()[0]
			if entry.Status != tt.status || entry.Service != TokenService || !slices.Equal(entry.Scopes, tt.scopes) || !slices.Equal(entry.Granted, tt.granted) {
				t.Errorf("logged %+v", entry)
			}
			scopes, ok := s.Verify(r.Token)
			if ok != (tt.status == 200) || !slices.Equal(scopes, tt.granted) {
				t.Errorf("verified %q, %v; want %q", scopes, ok, tt.granted)
			}
			if ok && (r.Access != r.Token || r.Expires != 300 || strings.Contains(r.Token, ".") == tt.behaviour.Opaque) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestTokenOAuth2(t *testing.T) {
	post := func(s *TokenServer, form url.Values) tokenReply {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://tokens.test/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return sendToken(t, s, req)
	}
	form := func(pairs ...string) url.Values {
		v := url.Values{"service": {TokenService}, "scope": {pushApp + " " + pullMine}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	tests := []struct {
		name      string
		behaviour TokenBehaviour
		form      url.Values
		status    int
	}{
		{"refresh token", TokenBehaviour{Users: tokenUsers()}, form("grant_type", "refresh_token", "refresh_token", "id-a"), 200},
		{"password", TokenBehaviour{Users: tokenUsers()}, form("grant_type", "password", "username", "alice", "password", "a"), 200},
		{"wrong refresh token", TokenBehaviour{Users: tokenUsers()}, form("grant_type", "refresh_token", "refresh_token", "x"), 401},
		{"user without one", TokenBehaviour{Users: tokenUsers()}, form("grant_type", "refresh_token", "refresh_token", ""), 401},
		{"wrong password", TokenBehaviour{Users: tokenUsers()}, form("grant_type", "password", "username", "alice", "password", "b"), 401},
		{"not implemented", TokenBehaviour{Users: tokenUsers(), NoOAuth2: 405}, form("grant_type", "refresh_token", "refresh_token", "id-a"), 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewTokenServer(tt.behaviour)
			r := post(s, tt.form)
			scopes, ok := s.Verify(r.Access)
			if r.status != tt.status || ok != (tt.status == 200) || ok && (!slices.Equal(scopes, []string{pushApp}) || r.Scope != pushApp) {
				t.Errorf("%d %s, verified %q, %v", r.status, r.body, scopes, ok)
			}
		})
	}
	s := NewTokenServer(TokenBehaviour{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://tokens.test/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := sendToken(t, s, req); r.status != 405 {
		t.Errorf("DELETE gave %d", r.status)
	}
}

func TestTokenLife(t *testing.T) {
	tests := []struct {
		name      string
		behaviour TokenBehaviour
		expires   int
		valid     time.Duration // of a token, after it was minted
	}{
		{"default", TokenBehaviour{}, 300, 300 * time.Second},
		{"short", TokenBehaviour{Life: 5 * time.Second}, 5, 5 * time.Second},
		{"short, opaque", TokenBehaviour{Life: 5 * time.Second, Opaque: true}, 5, 5 * time.Second},
		{"not stated", TokenBehaviour{OmitExpiresIn: true}, 0, 300 * time.Second},
		{"registry ahead", TokenBehaviour{Skew: 299 * time.Second}, 300, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewTokenServer(tt.behaviour)
				r := askToken(t.Context(), t, s, "", pushApp)
				time.Sleep(tt.valid - time.Second)
				if _, ok := s.Verify(r.Token); !ok || r.Expires != tt.expires {
					t.Errorf("valid %v, expires_in %d", ok, r.Expires)
				}
				time.Sleep(time.Second)
				if _, ok := s.Verify(r.Token); ok {
					t.Error("valid after its end")
				}
			})
		})
	}
	t.Run("registry behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewTokenServer(TokenBehaviour{Skew: -10 * time.Second})
			r := askToken(t.Context(), t, s, "", pushApp)
			if _, ok := s.Verify(r.Token); ok {
				t.Error("valid before its time")
			}
			time.Sleep(10 * time.Second)
			if _, ok := s.Verify(r.Token); !ok {
				t.Error("not valid in its time")
			}
		})
	})
}

func TestTokenIsChecked(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		s := NewTokenServer(TokenBehaviour{Opaque: opaque})
		token := askToken(t.Context(), t, s, "", pushApp).Token
		other := askToken(t.Context(), t, NewTokenServer(TokenBehaviour{Opaque: opaque}), "", pushApp).Token
		for _, bad := range []string{"", "garbage", "a.b.c", "..", token + "x", token[1:], other} {
			if _, ok := s.Verify(bad); ok {
				t.Errorf("%q is taken", bad)
			}
		}
		if _, ok := s.Verify(token); !ok {
			t.Error("its own token is not taken")
		}
		s.Revoke()
		if _, ok := s.Verify(token); ok {
			t.Error("a revoked token is taken")
		}
	}
}

func TestTokenServerOutOfOrder(t *testing.T) {
	s := NewTokenServer(TokenBehaviour{FailFirst: 2})
	for i, want := range []int{500, 500, 200} {
		if r := askToken(t.Context(), t, s, "", pushApp); r.status != want {
			t.Errorf("request %d: %d, want %d", i, r.status, want)
		}
	}
	s.SetBehaviour(func(b *TokenBehaviour) { b.FailFirst, b.FailStatus, b.RetryAfter = 1, 429, "5" })
	if r := askToken(t.Context(), t, s, "", pushApp); r.status != 429 || r.header.Get("Retry-After") != "5" {
		t.Errorf("%d, Retry-After %q", r.status, r.header.Get("Retry-After"))
	}
	want := []string{"GET token - app:pull,push 500", "GET token - app:pull,push 500", "GET token - app:pull,push 200", "GET token - app:pull,push 429"}
	if got := s.Lines(); !slices.Equal(got, want) || s.Count() != 4 {
		t.Errorf("%q", got)
	}
	s.ResetLog()
	if s.Count() != 0 || len(s.Log()) != 0 {
		t.Error("the log is still there")
	}
}

func TestSlowTokenServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewTokenServer(TokenBehaviour{Delay: time.Minute})
		start := time.Now()
		if r := askToken(t.Context(), t, s, "", pushApp); r.status != 200 || time.Since(start) != time.Minute {
			t.Errorf("%d after %v", r.status, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := askToken(ctx, t, s, "", pushApp); !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("%d, %v", r.status, r.err)
		}
		synctest.Wait()
		if got := s.Lines()[1]; got != "GET token - app:pull,push -" {
			t.Errorf("%q", got)
		}
	})
}

// A registry and a token server on loopback, as a client meets them.
func TestTokenServerWithRegistry(t *testing.T) {
	tokens, realm := StartTokenServer(t, TokenBehaviour{Users: tokenUsers()})
	server := Start(t, Behaviour{Auth: tokens.Auth(realm)})
	get := func(target, authorization string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	list := server.URL + "/v2/base/tags/list"
	resp := get(list, "")
	if got := resp.Header.Get("Www-Authenticate"); resp.StatusCode != 401 || !strings.Contains(got, realm) || !strings.Contains(got, TokenService) {
		t.Fatalf("%d %q", resp.StatusCode, got)
	}
	token := askToken(t.Context(), t, tokens, "bob:b", pullBase).Token
	// The repository does not exist, which a client without a right to it is not told.
	if resp := get(list, "Bearer "+token); resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d with a token", resp.StatusCode)
	}
	tokens.Revoke()
	if resp := get(list, "Bearer "+token); resp.StatusCode != 401 {
		t.Errorf("%d with a revoked token", resp.StatusCode)
	}
	if resp := get(realm+"?scope="+url.QueryEscape(pullBase), ""); resp.StatusCode != 200 {
		t.Errorf("%d from the realm", resp.StatusCode)
	}
}
