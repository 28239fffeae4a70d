package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"oras.land/oras-go/v2/errdef"

	"github.com/crossmount/crossmount/internal/e2e/clients"
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
	name     string
	user     string
	refs     []string
	failing  string // the reference that must not stand
	requests int    // to the targets, at most
	tokens   int    // requests to the token server, at most
	layers   int    // sent, at most
}

func authCases() []authCase {
	app, mirror, other := "team/app:v1", "team/mirror:v1", "other/app:v1"
	return []authCase{
		{name: "may read the source", user: "reader", refs: []string{app}, requests: 21, tokens: 1, layers: 3},
		{name: "may not read the source, gets less", user: "stranger", refs: []string{app}, requests: 26, tokens: 1, layers: 9},
		{name: "may not read the source, is refused", user: "refused", refs: []string{app}, requests: 26, tokens: 2, layers: 9},
		{name: "two repositories", user: "reader", refs: []string{app, mirror}, requests: 38, tokens: 2, layers: 3},
		{name: "two repositories, source not readable", user: "stranger", refs: []string{app, mirror}, requests: 40, tokens: 2, layers: 9},
		{name: "two repositories, source refused", user: "refused", refs: []string{app, mirror}, requests: 40, tokens: 3, layers: 9},
		{name: "second repository foreign", user: "reader", refs: []string{app, other}, failing: other, requests: 80, tokens: 4, layers: 3},
		{name: "first repository foreign", user: "reader", refs: []string{other, app}, failing: other, requests: 80, tokens: 4, layers: 3},
		{name: "second repository refused", user: "refused", refs: []string{app, other}, failing: other, requests: 30, tokens: 10, layers: 9},
		{name: "may read but not push", user: "guest", refs: []string{app}, failing: app, requests: 45, tokens: 2},
		{name: "nobody", user: "nobody", refs: []string{app}, failing: app, requests: 1, tokens: 3},
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
		for _, c := range authCases() {
			t.Run(title+"/"+c.name, func(t *testing.T) {
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
	sum, tokens := server.Log.Sum("base"), server.Tokens.Log.Sum().Requests
	t.Logf("%d requests, %d for tokens, %d bytes; %v\n%s\ntokens\n%s\n%s", sum.Requests, tokens, sum.Bytes, err, lines(server.Log), lines(server.Tokens.Log), report)
	if err == nil && report.Requests != sum.Requests { // what a refusal stops may not arrive
		t.Errorf("the report says %d requests, the registry %d", report.Requests, sum.Requests)
	}
	if (err != nil) != (c.failing != "") {
		t.Errorf("error %v, want one: %t", err, c.failing != "")
	}
	if sum.Requests > c.requests || tokens > c.tokens {
		t.Errorf("%d requests and %d for tokens, want at most %d and %d", sum.Requests, tokens, c.requests, c.tokens)
	}
	if got := int(sum.Bytes / images.LayerSize); got > c.layers {
		t.Errorf("%d layers were sent, want at most %d", got, c.layers)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range refs {
		stands := c.refs[i] != c.failing
		if report.Refs[i].Stands != stands {
			t.Errorf("%s stands: %t, want %t", r, report.Refs[i].Stands, stands)
		}
		switch {
		case !stands:
			checkAbsent(t, r, admin)
		case elsewhere: // ggcr takes no tokens from another port of loopback
			if err := pullWithOthers(ctx, r, digest, admin); err != nil {
				t.Error(err)
			}
		default:
			checkRef(t, r, digest, admin, true)
		}
	}
}

// checkAbsent checks that nothing stands at a reference.
func checkAbsent(t *testing.T, r name.Reference, keychain authn.Keychain) {
	t.Helper()
	repo, err := clients.ORASRepository(t.Context(), r.Context(), keychain)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := repo.Resolve(t.Context(), r.Identifier()); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("%s is %s (%v), want nothing", r, d.Digest, err)
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
