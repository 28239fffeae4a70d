package push_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// manyCase is a push to many references, or of many images, and the most that
// it may cost.
type manyCase struct {
	name      string
	behaviour registrytest.Behaviour
	refs      []string
	prepare   func(t *testing.T, s *stage) push.Image
	requests  int
	layers    int64 // sent, each counted once; -1: not counted
}

// platforms returns an index of n images that share six base layers.
func platforms(t testing.TB, s *stage, n int) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i := range n {
		img := s.image(t.(*testing.T), fmt.Sprint("arch", i), layer(fmt.Sprint("arch", i), layerSize))
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: fmt.Sprint("arch", i)},
		}})
	}
	return idx
}

func manyCases() []manyCase {
	app := func(t *testing.T, s *stage) push.Image { return s.image(t, "1") }
	index := func(t *testing.T, s *stage) push.Image { return platforms(t, s, 4) }
	pushed := func(t *testing.T, s *stage, repo string) {
		if _, err := pusher(t).Push(context.Background(), platforms(t, s, 4), ref(t, s.Host, repo)); err != nil {
			t.Fatal(err)
		}
	}
	return []manyCase{
		{name: "three repositories", refs: []string{"a:v1", "b:v1", "c:v1"}, prepare: app, requests: 52, layers: 9},
		{name: "three tags", refs: []string{"a:v1", "a:v2", "a:v3"}, prepare: app, requests: 29, layers: 9},
		{name: "index of four platforms, cold", refs: []string{"a:v1"}, prepare: index, requests: 2*14 + 5 + 4, layers: 10},
		{name: "index again", refs: []string{"a:v1"}, requests: 2, prepare: func(t *testing.T, s *stage) push.Image {
			pushed(t, s, "a:v1")
			return platforms(t, s, 4)
		}},
		{name: "promote an index", refs: []string{"a:v1"}, requests: 14 + 5 + 2, prepare: func(t *testing.T, s *stage) push.Image {
			pushed(t, s, "staging:v1")
			idx, err := remote.Index(ref(t, s.Host, "staging:v1"))
			if err != nil {
				t.Fatal(err)
			}
			return idx
		}},
	}
}

func TestMany(t *testing.T) {
	for _, c := range manyCases() {
		t.Run(c.name, func(t *testing.T) { runMany(t, c) })
	}
}

func runMany(t *testing.T, c manyCase) {
	srv := registrytest.Start(t, c.behaviour)
	s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
	img := c.prepare(t, s)
	var refs []name.Reference
	for _, r := range c.refs {
		refs = append(refs, ref(t, srv.Host, r))
	}
	srv.Registry.ResetLog()
	report, err := pusher(t).Push(context.Background(), img, refs...)
	if err != nil {
		t.Fatal(err)
	}
	var to, from int
	for _, e := range srv.Registry.Log() {
		if e.Repository == "staging" {
			from++
		} else {
			to++
		}
	}
	t.Logf("%d requests, %d to the source", to, from)
	if to > c.requests {
		t.Errorf("%d requests, want at most %d\n%s", to, c.requests, strings.Join(srv.Registry.Lines(), "\n"))
	}
	if n := srv.Registry.Count().Bytes / layerSize; n != c.layers {
		t.Errorf("%d layers sent, want %d", n, c.layers)
	}
	for _, r := range refs {
		if err := srv.Registry.Complete(r.Context().RepositoryStr(), r.Identifier()); err != nil {
			t.Error(err)
		}
	}
	if n := srv.Registry.OpenSessions(); n != 0 {
		t.Errorf("%d sessions left open", n)
	}
	for _, r := range report.Refs {
		if !r.Stands {
			t.Errorf("%s does not stand", r.Ref)
		}
	}
}

// TestReferencedOnly: on a registry that mounts only what a manifest names, and
// is known for it, the other targets wait for the manifest of the home.
func TestReferencedOnly(t *testing.T) {
	const ecr = "123.dkr.ecr.eu-west-1.amazonaws.com"
	r := registrytest.New(registrytest.Behaviour{ReferencedOnly: true})
	s := &stage{base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
	p := pusher(t, push.WithTransport(r.Client()))
	if _, err := p.Push(context.Background(), s.image(t, "1"), ref(t, ecr, "a:v1"), ref(t, ecr, "b:v1"), ref(t, ecr, "c:v1")); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"a", "b", "c"} {
		if err := r.Complete(repo, "v1"); err != nil {
			t.Error(err)
		}
	}
	if n := r.Count().Bytes / layerSize; n != 9 {
		t.Errorf("%d layers sent, want 9\n%s", n, strings.Join(r.Lines(), "\n"))
	}
}

// TestHomeFails: a home that refuses the blobs is replaced by another target.
func TestHomeFails(t *testing.T) {
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
		Users: map[string]registrytest.TokenUser{"alice": {Password: "wonder", Access: []string{"b:pull,push", "c:pull,push", "a:pull"}}},
	})
	srv := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
	s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
	report, err := pusher(t, alice()).Push(context.Background(), s.image(t, "1"), ref(t, srv.Host, "a:v1"), ref(t, srv.Host, "b:v1"), ref(t, srv.Host, "c:v1"))
	if err == nil || report.Refs[0].Stands || !report.Refs[1].Stands || !report.Refs[2].Stands {
		t.Fatalf("error %v, report %s", err, report)
	}
	if n := srv.Registry.Count().Bytes / layerSize; n != 9 {
		t.Errorf("%d layers sent, want 9\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestSinglePost: once a host is known to take content in one POST, new blobs
// cost one request each.
func TestSinglePost(t *testing.T) {
	for _, form := range []registrytest.SinglePost{registrytest.SinglePostTaken, registrytest.SinglePostOctetStream, registrytest.SinglePostIgnored} {
		srv := registrytest.Start(t, registrytest.Behaviour{SinglePost: form})
		s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
		p := pusher(t, push.WithConcurrency(1))
		if _, err := p.Probe(context.Background(), ref(t, srv.Host, "probe").Context()); err != nil {
			t.Fatal(err)
		}
		srv.Registry.ResetLog()
		if _, err := p.Push(context.Background(), s.image(t, "1"), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		most := 16 // the looks, ten blobs, the manifest
		if form == registrytest.SinglePostIgnored {
			most = 25
		}
		if n := srv.Registry.Count().Requests; n > most {
			t.Errorf("%v: %d requests, want at most %d\n%s", form, n, most, strings.Join(srv.Registry.Lines(), "\n"))
		}
		if n := srv.Registry.Count().BytesTwice; n != 0 {
			t.Errorf("%v: %d bytes sent twice", form, n)
		}
	}
}

// TestManyPushes: 500 pushes at once of 50 images through one Pusher, to the
// same and to other repositories: each blob is uploaded once, and nothing stays
// behind.
func TestManyPushes(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{Latency: time.Millisecond})
	carrier := http.DefaultTransport.(*http.Transport).Clone()
	p := pusher(t, push.WithConcurrency(16), push.WithTransport(carrier))
	base := layers("base", 3, 20<<10)
	images := make([]v1.Image, 50)
	for i := range images {
		images[i] = image(t, fmt.Sprint(i), append(append([]v1.Layer{}, base...), layer(fmt.Sprint("app", i), 20<<10))...)
	}
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			n := i % len(images)
			if _, err := p.Push(context.Background(), images[n], ref(t, srv.Host, fmt.Sprintf("app%d:v%d", n/5, i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 500 {
		n := i % len(images)
		if err := srv.Registry.Complete(fmt.Sprintf("app%d", n/5), fmt.Sprint("v", i)); err != nil {
			t.Error(err)
		}
	}
	sent := map[digest.Digest]int{}
	for _, e := range srv.Registry.Log() {
		if e.Method == "PUT" && e.Digest != "" && e.Sent > 10<<10 && e.Status == 201 {
			sent[e.Digest]++
		}
	}
	for d, n := range sent {
		if n > 1 {
			t.Errorf("%s was uploaded %d times", d, n)
		}
	}
	if n := srv.Registry.Count().BytesTwice; n != 0 {
		t.Errorf("%d bytes sent twice", n)
	}
	carrier.CloseIdleConnections()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+5 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	after := runtime.NumGoroutine()
	t.Logf("%d requests, %d blobs, %d goroutines before, %d after", srv.Registry.Count().Requests, len(sent), before, after)
	if after > before+5 {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}
