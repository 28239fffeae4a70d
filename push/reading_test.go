package push_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// attested returns an index with an image for each platform, and behind each what
// attests it, which is for no platform.
func attested(t *testing.T, arches ...string) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range arches {
		idx = mutate.AppendManifests(idx,
			mutate.IndexAddendum{Add: onPlatform(t, 1, arch), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}},
			mutate.IndexAddendum{Add: image(t, "of "+arch), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
	}
	return idx
}

// builtOn returns an image with the layers of build 1 for a platform and one more,
// with a config for that platform or for none.
func builtOn(t *testing.T, arch string, says bool) v1.Image {
	img, err := mutate.AppendLayers(onPlatform(t, 1, arch), layer("app on "+arch, layerSize))
	if err == nil && !says {
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// manifestReads counts the manifests that were read in a repository.
func manifestReads(r *registrytest.Registry, repo string) int {
	n := 0
	for _, e := range r.Log() {
		if e.Kind == wire.ManifestGet && e.Repository == repo {
			n++
		}
	}
	return n
}

// TestBaseIndex: of a base image for many platforms, the image for the platform of
// the push is read and no other, nor what attests it, and for the platform of the
// next push another one. Where the push does not say its platform, all are read.
func TestBaseIndex(t *testing.T) {
	for _, tt := range []struct {
		says  bool
		reads int
	}{{true, 2}, {false, 4}} {
		srv := registrytest.Start(t, registrytest.Behaviour{})
		if _, err := push.Push(context.Background(), attested(t, "amd64", "arm64", "s390x"), ref(t, srv.Host, "base:v1")); err != nil {
			t.Fatal(err)
		}
		srv.Registry.ResetLog()
		p := pusher(t, push.WithBases(ref(t, srv.Host, "base:v1")))
		if _, err := p.Push(context.Background(), builtOn(t, "arm64", tt.says), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		if n := manifestReads(srv.Registry, "base"); n != tt.reads {
			t.Errorf("platform said: %v: %d manifests read, want %d", tt.says, n, tt.reads)
		}
		if _, err := p.Push(context.Background(), builtOn(t, "s390x", tt.says), ref(t, srv.Host, "app:s390x")); err != nil {
			t.Fatal(err)
		}
		if n := srv.Registry.Count().Bytes / layerSize; n != 2 {
			t.Errorf("platform said: %v: %d layers sent by two pushes, want 2\n%s", tt.says, n, strings.Join(srv.Registry.Lines(), "\n"))
		}
	}
}

// TestObserveIndex: of an index that is observed, the images for all platforms are
// known then.
func TestObserveIndex(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	var arches []string
	for i := range 12 {
		arches = append(arches, fmt.Sprint("arch", i))
	}
	if _, err := push.Push(context.Background(), attested(t, arches...), ref(t, srv.Host, "base:v1")); err != nil {
		t.Fatal(err)
	}
	srv.Registry.ResetLog()
	p := pusher(t)
	if err := p.Observe(context.Background(), ref(t, srv.Host, "base:v1")); err != nil {
		t.Fatal(err)
	}
	if n := len(srv.Registry.Log()); n != 1+len(arches) {
		t.Errorf("%d requests, want %d", n, 1+len(arches))
	}
	if _, err := p.Push(context.Background(), builtOn(t, "arch11", true), ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	if n := srv.Registry.Count().Bytes / layerSize; n != 1 {
		t.Errorf("%d layers sent, want 1\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestObserveTree: an index of indexes of indexes, each many times over, does not
// keep Observe or a push that looks at it reading for ever.
func TestObserveTree(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	var level []string
	for i := range 8 {
		level = append(level, string(srv.Registry.PutManifest("base", "", string(types.OCIImageIndex), rawIndex(fmt.Sprint("leaf", i)))))
	}
	for depth := range 5 {
		var above []string
		for i := range 8 {
			above = append(above, string(srv.Registry.PutManifest("base", "", string(types.OCIImageIndex), rawIndex(fmt.Sprint(depth, i), level...))))
		}
		level = above
	}
	srv.Registry.PutManifest("base", "v1", string(types.OCIImageIndex), rawIndex("root", level...))
	srv.Registry.PutManifest("app", "v1", string(types.OCIImageIndex), rawIndex("root", level...))
	srv.Registry.ResetLog()
	p := pusher(t, push.WithBases(ref(t, srv.Host, "base:v1")))
	if err := p.Observe(context.Background(), ref(t, srv.Host, "base:v1")); err != nil {
		t.Fatal(err)
	}
	if n := manifestReads(srv.Registry, "base"); n > 65 {
		t.Errorf("%d manifests read, want at most 65", n)
	}
	srv.Registry.ResetLog()
	if _, err := p.Push(context.Background(), onPlatform(t, 1, "amd64"), ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	if n := manifestReads(srv.Registry, "base") + manifestReads(srv.Registry, "app"); n > 12 {
		t.Errorf("%d manifests read, want at most 12", n)
	}
}

// rawIndex returns an index of the manifests with the given digests, all for
// linux on amd64. The id makes it differ from others.
func rawIndex(id string, digests ...string) []byte {
	var list []string
	for _, d := range digests {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"size":2,"digest":%q,"platform":{"os":"linux","architecture":"amd64"}}`, types.OCIImageIndex, d))
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"annotations":{"id":%q},"manifests":[%s]}`,
		types.OCIImageIndex, id, strings.Join(list, ","))
}

// TestObserveFails: what could not be read is an error that says so, and what
// could is remembered.
func TestObserveFails(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	p := pusher(t)
	if err := p.Observe(context.Background(), nil); !errors.Is(err, push.ErrReference) {
		t.Errorf("nil: %v", err)
	}
	var of *push.Error
	var why *transport.Error
	for reference, status := range map[string]int{"base:none": 404, "nothing:v1": 404} {
		err := p.Observe(context.Background(), ref(t, srv.Host, reference))
		if !errors.As(err, &of) || of.Ref != srv.Host+"/"+reference || !errors.As(err, &why) || why.Status != status {
			t.Errorf("%s: %v", reference, err)
		}
	}
	srv.Registry.PutManifest("base", "broken", string(types.OCIManifestSchema1), []byte("no JSON"))
	if err := p.Observe(context.Background(), ref(t, srv.Host, "base:broken")); !errors.As(err, &of) {
		t.Errorf("broken: %v", err)
	}

	if _, err := push.Push(context.Background(), attested(t, "amd64", "arm64"), ref(t, srv.Host, "base:v1")); err != nil {
		t.Fatal(err)
	}
	gone, err := onPlatform(t, 1, "amd64").Digest()
	if err != nil {
		t.Fatal(err)
	}
	srv.Registry.Inject(registrytest.Fault{
		Do: registrytest.Status(404),
		Match: func(e registrytest.Entry) bool {
			return e.Kind == wire.ManifestGet && strings.HasSuffix(e.URL, gone.String())
		},
	})
	if err := p.Observe(context.Background(), ref(t, srv.Host, "base:v1")); !errors.As(err, &why) || why.Status != 404 {
		t.Errorf("one of two is gone: %v", err)
	}
	srv.Registry.ResetLog()
	if _, err := p.Push(context.Background(), builtOn(t, "arm64", true), ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	if n := srv.Registry.Count().Bytes / layerSize; n != 1 {
		t.Errorf("%d layers sent, want 1\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
	nobody, err := name.ParseReference("127.0.0.1:1/base:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := pusher(t, push.WithRetry(transport.Retry{Attempts: 1})).Observe(context.Background(), nobody); !errors.As(err, &of) || !errors.As(err, &why) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestBaseReadCancelled: a base whose reading was cancelled is read by the next
// push.
func TestBaseReadCancelled(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	base := sixBase(t, srv.Registry)
	p := pusher(t, push.WithBases(ref(t, srv.Host, "base:v1")))
	ctx, cancel := context.WithCancel(context.Background())
	srv.Registry.Inject(registrytest.Fault{Do: registrytest.Stall, Times: 1, Match: func(e registrytest.Entry) bool {
		hit := e.Repository == "base" && e.Kind == wire.ManifestGet
		if hit {
			cancel()
		}
		return hit
	}})
	img := image(t, "app", append(append([]v1.Layer{}, base...), layer("app", 1000))...)
	if _, err := p.Push(ctx, img, ref(t, srv.Host, "one:v1")); err == nil {
		t.Fatal("not cancelled")
	}
	srv.Registry.ClearFaults()
	srv.Registry.ResetLog()
	if _, err := p.Push(context.Background(), img, ref(t, srv.Host, "two:v1")); err != nil {
		t.Fatal(err)
	}
	if n := srv.Registry.Count().Bytes / layerSize; n > 0 {
		t.Errorf("%d base layers were sent", n)
	}
}

// TestBaseReadTogether: pushes at the same time wait for what one of them reads.
func TestBaseReadTogether(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{Latency: 30 * time.Millisecond})
	base := sixBase(t, srv.Registry)
	srv.Registry.Inject(registrytest.Fault{Do: registrytest.Stall, Delay: 700 * time.Millisecond, Match: func(e registrytest.Entry) bool {
		return e.Repository == "base" && e.Kind == wire.ManifestGet
	}})
	p := pusher(t, push.WithBases(ref(t, srv.Host, "base:v1")))
	var wg sync.WaitGroup
	for i := range 4 {
		img := image(t, fmt.Sprint("app", i), append(append([]v1.Layer{}, base...), layer(fmt.Sprint("app", i), 1000))...)
		wg.Go(func() {
			if _, err := p.Push(context.Background(), img, ref(t, srv.Host, fmt.Sprintf("app%d:v1", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := srv.Registry.Count().Bytes / layerSize; n > 0 {
		t.Errorf("%d base layers were sent", n)
	}
}
