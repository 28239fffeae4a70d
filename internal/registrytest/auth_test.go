package registrytest

import (
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// tokens is a Verify that takes the scopes, joined by spaces, as the token.
func tokens(token string) ([]string, bool) {
	return strings.Split(token, " "), token != "garbage"
}

func TestBearer(t *testing.T) {
	d := digest.FromString("blob")
	const (
		dst    = "repository:a/dst:pull,push"
		src    = "repository:b/src:pull"
		mount  = "POST /v2/a/dst/blobs/uploads/?mount=D&from=b/src"
		noFrom = "POST /v2/a/dst/blobs/uploads/?mount=D"
	)
	for _, test := range []struct {
		name, token, request string
		want                 int
		scopes               []string // of the challenge
		problem              string
	}{
		{"no token, ping", "", "GET /v2/", 401, nil, ""},
		{"any token, ping", dst, "GET /v2/", 200, nil, ""},
		{"no token, POST", "", "POST /v2/a/dst/blobs/uploads/", 401, []string{dst}, ""},
		{"no token, HEAD", "", "HEAD /v2/a/dst/blobs/D", 401, []string{"repository:a/dst:pull"}, ""},
		{"no token, mount", "", mount, 401, []string{dst, src}, ""},
		{"target alone, mount", dst, mount, 401, []string{dst, src}, "insufficient_scope"},
		{"both, mount", dst + " " + src, mount, 201, nil, ""},
		{"target alone, no from", dst, noFrom, 202, nil, ""},
		{"push alone", "repository:a/dst:push", noFrom, 401, []string{dst}, "insufficient_scope"},
		{"two scopes of one repository", "repository:a/dst:push repository:a/dst:pull", noFrom, 202, nil, ""},
		{"star", "repository:a/dst:*", noFrom, 202, nil, ""},
		{"another repository", "repository:a/dst2:pull,push", noFrom, 401, []string{dst}, "insufficient_scope"},
		{"garbage", "garbage", noFrom, 401, []string{dst}, "invalid_token"},
		{"PUT with from", dst, "PUT SESSION?digest=D&from=b/src", 401, []string{dst, src}, "insufficient_scope"},
		{"PUT", dst, "PUT SESSION?digest=D", 201, nil, ""},
		{"DELETE session", dst, "DELETE SESSION", 401, []string{"repository:a/dst:delete"}, "insufficient_scope"},
		{"DELETE session with delete", "repository:a/dst:delete", "DELETE SESSION", 204, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(Behaviour{Auth: &Auth{Realm: "http://token/", Service: "svc", Verify: tokens, DistributionDelete: true}})
			r.PutBlob("b/src", []byte("blob"))
			p := newPeer(t, r)
			p.token = "Bearer " + dst
			session := p.want(202, "POST", "/v2/a/dst/blobs/uploads/", nil).location()
			p.token = "Bearer " + test.token
			if test.token == "" {
				p.token = ""
			}
			method, target, _ := strings.Cut(strings.NewReplacer("SESSION", session, "=D", "="+d.String(), "/D", "/"+d.String()).Replace(test.request), " ")
			var body []byte
			if method == "PUT" {
				body = []byte("blob")
			}
			a := p.want(test.want, method, target, body)
			if e := r.Log()[1]; e.Authorized != (test.want != 401) {
				t.Errorf("Authorized = %v", e.Authorized)
			}
			if test.want != 401 {
				return
			}
			challenges := wire.ParseChallenges(a.header)
			if len(challenges) != 1 || challenges[0].Realm != "http://token/" || challenges[0].Service != "svc" || challenges[0].Error != test.problem {
				t.Fatalf("challenge = %+v", challenges)
			}
			if got := normal(challenges[0].Scope); !slices.Equal(got, normal(strings.Join(test.scopes, " "))) {
				t.Errorf("scope = %q", got)
			}
		})
	}
}

// normal sorts the scopes of a string and their actions.
func normal(scope string) []string {
	scopes := strings.Fields(scope)
	for i, s := range scopes {
		at := strings.LastIndex(s, ":") + 1
		actions := strings.Split(s[at:], ",")
		slices.Sort(actions)
		scopes[i] = s[:at] + strings.Join(actions, ",")
	}
	slices.Sort(scopes)
	return scopes
}

func TestChallengeOrderVaries(t *testing.T) {
	r := New(Behaviour{Auth: &Auth{Realm: "http://token/", Verify: tokens}})
	p := newPeer(t, r)
	seen := map[string]bool{}
	for range 8 {
		a := p.want(401, "POST", "/v2/dst/blobs/uploads/?mount="+digest.FromString("x").String()+"&from=src", nil)
		seen[a.header.Get("Www-Authenticate")] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d forms of the challenge: %v", len(seen), seen)
	}
}

func TestBasic(t *testing.T) {
	r := New(Behaviour{Auth: &Auth{Users: map[string]string{"me": "secret", "empty": ""}}})
	p := newPeer(t, r)
	for _, test := range []struct {
		header string
		want   int
	}{
		{"", 401},
		{"Basic bWU6c2VjcmV0", 200},
		{"Basic bWU6d3Jvbmc=", 401},
		{"Basic eW91Og==", 401},
		{"Basic ZW1wdHk6", 200},
		{"Bearer secret", 401},
	} {
		p.token = test.header
		a := p.want(test.want, "GET", "/v2/", nil)
		if got := a.header.Get("Www-Authenticate"); strings.HasPrefix(got, "Basic ") != (test.want == 401) {
			t.Errorf("%q: challenge = %q", test.header, got)
		}
	}
	noViolations(t, r)
}

// TestCancelNeedsPush: without DistributionDelete a push token cancels.
func TestCancelNeedsPush(t *testing.T) {
	r := New(Behaviour{Auth: &Auth{Verify: tokens}})
	p := newPeer(t, r)
	p.token = "Bearer repository:app:pull,push"
	p.want(204, "DELETE", p.begin(), nil)
	p.want(401, "DELETE", "/v2/app/manifests/v1", nil)
}

func TestMount401Challenge(t *testing.T) {
	r, d := mountFixture(Behaviour{MountStatus: 401})
	mount := "/v2/app/blobs/uploads/?mount=" + d.String() + "&from=single"
	if got := newPeer(t, r).want(401, "POST", mount, nil).header.Get("Www-Authenticate"); got != "" {
		t.Errorf("without Auth: %q", got)
	}
	r.SetBehaviour(func(b *Behaviour) { b.Auth = &Auth{Verify: tokens} })
	p := newPeer(t, r)
	p.token = "Bearer repository:app:pull,push repository:single:pull"
	if got := p.want(401, "POST", mount, nil).header.Get("Www-Authenticate"); !strings.Contains(got, "insufficient_scope") {
		t.Errorf("with Auth: %q", got)
	}
}
