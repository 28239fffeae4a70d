package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/push"
)

// users are those of the tests: what they may read and write differs, and so does
// what the token server says when they ask for more.
func users() map[string]registries.User {
	pull := func(action string) bool { return action == "pull" }
	own := func(repository, _ string) bool { return strings.HasPrefix(repository, "team/") }
	all := registries.Everybody()
	all["reader"] = registries.User{May: func(r, a string) bool { return own(r, a) || r == "base" && pull(a) }}
	all["stranger"] = registries.User{May: own}
	all["refused"] = registries.User{May: own, Refused: true}
	all["guest"] = registries.User{May: func(_, a string) bool { return pull(a) }}
	return all
}

// authCase is a push of an image on a base that stands in the repository base.
type authCase struct {
	user     string
	refs     []string
	failing  map[string]bool // the references that must not stand
	requests int             // to the registry, at most
	tokens   int             // requests to the token server, at most
	layers   int             // sent, exactly
}

func authCases() map[string]authCase {
	return map[string]authCase{
		"may read the source":                       {user: "reader", refs: []string{"team/app:v1"}, requests: 19, tokens: 1, layers: 3},
		"may not read the source, gets less":        {user: "stranger", refs: []string{"team/app:v1"}, requests: 26, tokens: 2, layers: 9},
		"may not read the source, is refused":       {user: "refused", refs: []string{"team/app:v1"}, requests: 26, tokens: 2, layers: 9},
		"two repositories":                          {user: "reader", refs: []string{"team/app:v1", "team/mirror:v1"}, requests: 32, tokens: 1, layers: 3},
		"two repositories, source unread":           {user: "stranger", refs: []string{"team/app:v1", "team/mirror:v1"}, requests: 38, tokens: 2, layers: 9},
		"two repositories, source refused":          {user: "refused", refs: []string{"team/app:v1", "team/mirror:v1"}, requests: 38, tokens: 3, layers: 9},
		"two repositories, one foreign":             {user: "reader", refs: []string{"team/app:v1", "other/app:v1"}, failing: map[string]bool{"other/app:v1": true}, requests: 24, tokens: 4, layers: 3},
		"two repositories, the first foreign":       {user: "reader", refs: []string{"other/app:v1", "team/app:v1"}, failing: map[string]bool{"other/app:v1": true}, requests: 24, tokens: 4, layers: 3},
		"two repositories, one foreign, is refused": {user: "refused", refs: []string{"team/app:v1", "other/app:v1"}, failing: map[string]bool{"other/app:v1": true}, requests: 32, tokens: 6, layers: 9},
		"may read but not push":                     {user: "guest", refs: []string{"team/app:v1"}, failing: map[string]bool{"team/app:v1": true}, requests: 4, tokens: 3, layers: 0},
		"nobody":                                    {user: "nobody", refs: []string{"team/app:v1"}, failing: map[string]bool{"team/app:v1": true}, requests: 3, tokens: 2, layers: 0},
	}
}

// TestAuthorization pushes to distribution with tokens as users who may do more
// or less of what the push would like to do.
func TestAuthorization(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		title := "tokens at the registry"
		if elsewhere {
			title = "tokens elsewhere"
		}
		for what, c := range authCases() {
			t.Run(title+"/"+what, func(t *testing.T) {
				t.Parallel()
				runAuthCase(t, c, elsewhere)
			})
		}
	}
}

func runAuthCase(t *testing.T, c authCase, elsewhere bool) {
	ctx := t.Context()
	server := start(t, registries.DistributionWithTokens(users(), elsewhere))
	admin := server.Keychain(registries.Admin)
	img, source := onBase(t, server, elsewhere)
	p := pusher(t, server.Keychain(c.user), push.WithSources(source))
	var refs []name.Reference
	for _, r := range c.refs {
		refs = append(refs, ref(t, server, r))
	}
	server.Reset()
	report, err := p.Push(ctx, img, refs...)
	sum, tokens := server.Log.Sum(), server.Tokens.Log.Sum().Requests
	t.Logf("%d requests, %d for tokens, %d bytes; %v\n%s\ntokens\n%s\n%s", sum.Requests, tokens, sum.Bytes, err, lines(server.Log), lines(server.Tokens.Log), report)
	if (err != nil) != (len(c.failing) > 0) {
		t.Errorf("error %v, want one: %t", err, len(c.failing) > 0)
	}
	if sum.Requests > c.requests || tokens > c.tokens {
		t.Errorf("%d requests and %d for tokens, want at most %d and %d", sum.Requests, tokens, c.requests, c.tokens)
	}
	if got := int(sum.Bytes / images.LayerSize); got != c.layers {
		t.Errorf("%d layers were sent, want %d", got, c.layers)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range refs {
		if report.Refs[i].Stands == c.failing[c.refs[i]] {
			t.Errorf("%s stands: %t, want %t", r, report.Refs[i].Stands, !c.failing[c.refs[i]])
		}
		if c.failing[c.refs[i]] {
			continue
		}
		if elsewhere {
			if err := pullWithORAS(ctx, r, digest, admin); err != nil {
				t.Error(err)
			}
			continue // ggcr takes no tokens from another port of loopback
		}
		checkRef(t, r, digest, admin, true)
	}
}

// onBase puts a base into the repository base, and returns an image on top of it
// and that repository. Where ggcr can pull it, the image says where its base is
// from.
func onBase(t *testing.T, server *registries.Server, elsewhere bool) (v1.Image, name.Repository) {
	t.Helper()
	layers, err := images.Layers("base", 6)
	if err != nil {
		t.Fatal(err)
	}
	app, err := images.Layers("app", 3)
	if err != nil {
		t.Fatal(err)
	}
	base, err := images.Image("base", layers...)
	if err != nil {
		t.Fatal(err)
	}
	at, keychain := ref(t, server, "base:v1"), server.Keychain(registries.Admin)
	if _, err := pusher(t, keychain).Push(t.Context(), base, at); err != nil {
		t.Fatal(err)
	}
	if !elsewhere {
		base, err = remote.Image(at, remote.WithContext(t.Context()), remote.WithAuthFromKeychain(keychain))
		if err != nil {
			t.Fatal(err)
		}
	}
	img, err := images.Append(base, "app", app...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.Digest(); err != nil {
		t.Fatal(err)
	}
	return img, at.Context()
}

// ref parses a reference to a server.
func ref(t *testing.T, server *registries.Server, text string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(server.Host + "/" + text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
