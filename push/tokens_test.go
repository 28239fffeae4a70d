package push_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// authorized is a registry with a token server, and user alice who may push to
// team/ and pull what pulls says.
type authorized struct {
	*registrytest.Server
	tokens *registrytest.TokenServer
}

// roundTripper is a function that carries requests.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// keychain gives one credential for everything.
type keychain authn.AuthConfig

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig(k)), nil
}

func alice() push.Option { return push.WithKeychain(keychain{Username: "alice", Password: "wonder"}) }

func startAuthorized(t *testing.T, b registrytest.Behaviour, tb registrytest.TokenBehaviour) *authorized {
	t.Helper()
	if tb.Users == nil {
		tb.Users = map[string]registrytest.TokenUser{"alice": {Password: "wonder", Access: []string{"team/*:pull,push", "base:pull", "not/to/be/hosted:pull"}}}
	}
	tokens, realm := registrytest.StartTokenServer(t, tb)
	b.Auth = tokens.Auth(realm)
	return &authorized{registrytest.Start(t, b), tokens}
}

// total counts the requests to the registry and to the token server.
func (a *authorized) total() int { return a.Registry.Count().Requests + a.tokens.Count() }

// lines is the log of both.
func (a *authorized) lines() string {
	return strings.Join(append(a.Registry.Lines(), a.tokens.Lines()...), "\n")
}

// tokenCase is a push of an image of one layer and a config by a client that
// knows nothing, and the most requests that it may take.
type tokenCase struct {
	name      string
	behaviour registrytest.Behaviour
	tokens    registrytest.TokenBehaviour
	source    string // where the layer is, and a hint that it is there
	present   bool   // the target holds both blobs
	refs      []string
	requests  int
}

func tokenCases() []tokenCase {
	type b = registrytest.Behaviour
	type tb = registrytest.TokenBehaviour
	only := map[string]registrytest.TokenUser{"alice": {Password: "wonder", Access: []string{"team/*:pull,push"}}}
	return []tokenCase{
		{name: "both blobs present, tag absent", present: true, requests: 6},
		{name: "layer mounted from a hinted repository", source: "base", requests: 7},
		{name: "nothing anywhere", requests: 8},
		{name: "mount answered 202", source: "base", behaviour: b{MountAlways202: true}, requests: 8},
		{name: "mount answered 403", source: "base", behaviour: b{MountFromStatus: map[string]int{"base": 403}}, requests: 9},
		{name: "narrowed silently, opaque", source: "base", tokens: tb{Users: only, Opaque: true}, requests: 9},
		{name: "narrowed silently, readable", source: "base", tokens: tb{Users: only}, requests: 8},
		{name: "403 when the source is named", source: "base", tokens: tb{Users: only, RefuseForeign: 403}, requests: 9},
		{name: "400 to an impossible name", source: "not/to/be/hosted", tokens: tb{RefuseImpossible: true}, requests: 9},
		{name: "first scope only", source: "base", tokens: tb{FirstOnly: true}, requests: 9},
		{name: "first scope only, opaque", source: "base", tokens: tb{FirstOnly: true, Opaque: true}, requests: 9},
		{name: "last scope only", source: "base", tokens: tb{LastOnly: true}, requests: 9},
		{name: "last scope only, opaque", source: "base", tokens: tb{LastOnly: true, Opaque: true}, requests: 10},
		{name: "repeated scopes refused", source: "base", tokens: tb{RefuseRepeated: true}, requests: 9},
		{name: "two repositories", refs: []string{"team/app:v1", "team/copy:v1"}, requests: 12},
		{name: "two repositories, 403 when the source is named", source: "base", refs: []string{"team/app:v1", "team/copy:v1"}, tokens: tb{Users: only, RefuseForeign: 403}, requests: 13},
	}
}

func TestTokenRequests(t *testing.T) {
	for _, c := range tokenCases() {
		for _, size := range []int{1 << 10, 8 << 10} {
			t.Run(fmt.Sprintf("%s/%d", c.name, size), func(t *testing.T) { runTokenCase(t, c, size) })
		}
	}
}

func runTokenCase(t *testing.T, c tokenCase, size int) {
	a := startAuthorized(t, c.behaviour, c.tokens)
	layer := layer("only", size)
	img := image(t, "app", layer)
	opts := []push.Option{alice(), push.WithConcurrency(1)}
	if c.source != "" {
		seed(t, a.Registry, c.source, "v1", image(t, "base", layer))
		img = image(t, "app", mountable(t, a.Host, c.source, layer))
	}
	if c.present {
		seed(t, a.Registry, "team/app", "", img)
	}
	label(t, a.Registry, "layer", img)
	if c.refs == nil {
		c.refs = []string{"team/app:v1"}
	}
	var refs []name.Reference
	for _, r := range c.refs {
		refs = append(refs, ref(t, a.Host, r))
	}
	a.Registry.ResetLog()
	report, err := pusher(t, opts...).Push(context.Background(), img, refs...)
	if err != nil {
		t.Fatalf("push: %v\n%s", err, a.lines())
	}
	if size == 1<<10 && len(refs) == 1 {
		golden(t, goldenPath("tokens", c.name), a.lines()+"\n")
	}
	if n := a.total(); n > c.requests {
		t.Errorf("%d requests, want at most %d\n%s\n%s", n, c.requests, a.lines(), report)
	}
	if n := a.Registry.Count().BytesTwice; n != 0 {
		t.Errorf("%d bytes sent twice", n)
	}
	for _, r := range refs {
		if err := a.Registry.Complete(r.Context().RepositoryStr(), r.Identifier()); err != nil {
			t.Error(err)
		}
	}
}

// TestTokenExpires pushes 50 blobs with a token that expires on the way: it is
// fetched anew once, and nothing is sent twice.
func TestTokenExpires(t *testing.T) {
	for _, n := range []int{1, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { expireToken(t, n) })
	}
}

func expireToken(t *testing.T, concurrency int) {
	a := startAuthorized(t, registrytest.Behaviour{}, registrytest.TokenBehaviour{Opaque: true})
	img := image(t, "app", layers("l", 49, 1<<10)...)
	var sent atomic.Int32
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		if sent.Add(1) == 60 {
			a.tokens.Revoke()
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	p := pusher(t, alice(), push.WithConcurrency(concurrency), push.WithTransport(base))
	if _, err := p.Push(context.Background(), img, ref(t, a.Host, "team/app:v1")); err != nil {
		t.Fatal(err)
	}
	if n := a.tokens.Count(); n != 2 {
		t.Errorf("%d token requests, want 2\n%s", n, strings.Join(a.tokens.Lines(), "\n"))
	}
	if n := a.Registry.Count().BytesTwice; n != 0 {
		t.Errorf("%d bytes sent twice", n)
	}
}

// TestTokensShared starts 64 pushes to one host at once: one token request for
// each distinct set of scopes.
func TestTokensShared(t *testing.T) {
	a := startAuthorized(t, registrytest.Behaviour{Latency: time.Millisecond}, registrytest.TokenBehaviour{Delay: 20 * time.Millisecond})
	p := pusher(t, alice())
	errs := make(chan error)
	for i := range 64 {
		img := image(t, fmt.Sprint(i), layer(fmt.Sprint("l", i), 1<<10))
		go func() {
			_, err := p.Push(context.Background(), img, ref(t, a.Host, fmt.Sprintf("team/app%d:v1", i%4)))
			errs <- err
		}()
	}
	for range 64 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	distinct := map[string]bool{}
	for _, l := range a.tokens.Lines() {
		if distinct[l] {
			t.Errorf("asked for again: %s", l)
		}
		distinct[l] = true
	}
	if len(distinct) != 4 {
		t.Errorf("%d distinct token requests, want 4:\n%s", len(distinct), strings.Join(a.tokens.Lines(), "\n"))
	}
}

// mountable returns the layer as ggcr gives one that was pulled from repo.
func mountable(t *testing.T, host, repo string, l v1.Layer) v1.Layer {
	t.Helper()
	return mountableFrom(l, ref(t, host, repo))
}
