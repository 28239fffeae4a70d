package inventory_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/cache"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// serve starts a registry that holds an index of one image of two layers under
// team/base, and returns the references to both.
func serve(t *testing.T) (index, img name.Reference, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	handler := registry.New(registry.Logger(discard()))
	server := httptest.NewServer(counter{handler, requests})
	t.Cleanup(server.Close)
	base := image(t, empty.Image, layers(t, 2)...)
	blob := static.NewLayer([]byte("a blob"), "application/vnd.example.blob")
	idx := mutate.AppendManifests(empty.Index, add(base, v1.Descriptor{}), add(blob, v1.Descriptor{}))
	repo := must(name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/team/base"))(t)
	index = repo.Tag("index")
	if err := remote.WriteIndex(index, idx); err != nil {
		t.Fatal(err)
	}
	return index, repo.Digest(of1(base).String()), requests
}

func origins(inv *inventory.Inventory) [][]inventory.Origin {
	var all [][]inventory.Origin
	for _, b := range inv.Blobs {
		all = append(all, b.From)
	}
	return all
}

func TestPulled(t *testing.T) {
	index, ref, requests := serve(t)
	from := []inventory.Origin{{Registry: ref.Context().RegistryStr(), Repository: "team/base", Belief: mount.Remembered}}
	pulled := must(remote.Image(ref))(t)
	appended := image(t, pulled, static.NewLayer([]byte("new"), types.DockerLayer))
	if _, err := appended.Digest(); err != nil {
		t.Fatal(err)
	}
	own := image(t, empty.Image, static.NewLayer([]byte("old base"), types.DockerLayer), static.NewLayer([]byte("own"), types.DockerLayer))
	rebased := must(mutate.Rebase(own, image(t, empty.Image, static.NewLayer([]byte("old base"), types.DockerLayer)), pulled))(t)
	cached := cache.Image(pulled, cache.NewFilesystemCache(t.TempDir()))
	for _, tt := range []struct {
		name     string
		img      inventory.Image
		want     [][]inventory.Origin
		requests int64
	}{
		{"as it is", pulled, [][]inventory.Origin{from, from, from}, 0},
		{"with a layer more", appended, [][]inventory.Origin{from, from, nil, nil}, 0},
		{"annotated", mutate.Annotations(pulled, map[string]string{"a": "b"}).(v1.Image), [][]inventory.Origin{from, from, nil}, 0},
		{"rebased", rebased, [][]inventory.Origin{from, from, nil, nil}, 0},
		{"wrapped", wrapped{pulled}, [][]inventory.Origin{from, from, nil}, 0},
		{"through a cache", cached, [][]inventory.Origin{nil, nil, nil}, 0},
		{"from an index", must(remote.Index(index))(t), [][]inventory.Origin{from, from, from, from}, 1},
	} {
		requests.Store(0)
		inv := of(t, tt.img)
		if got := origins(inv); !slices.EqualFunc(got, tt.want, slices.Equal) {
			t.Errorf("%s: origins %v, want %v", tt.name, got, tt.want)
		}
		if n := requests.Load(); n != tt.requests {
			t.Errorf("%s: %d requests, want %d", tt.name, n, tt.requests)
		}
		for i, b := range inv.Blobs {
			if got := digest.FromBytes(read(t, b)); got != b.Digest {
				t.Errorf("%s: blob %d has content %s, want %s", tt.name, i, got, b.Digest)
			}
		}
	}
}

func TestClaimed(t *testing.T) {
	const key = "containerd.io/distribution.source."
	claim := func(registry, repository string) inventory.Origin {
		return inventory.Origin{Registry: registry, Repository: repository, Belief: mount.Claimed}
	}
	l := layers(t, 2)
	img := must(mutate.Append(empty.Image,
		mutate.Addendum{Layer: l[0], Annotations: map[string]string{
			key + "docker.io":           "library/debian, team/base",
			key + "registry.example:80": "a/b,../c,a//b,A,a?b,,a/b," + strings.Repeat("x", 256),
			key:                         "no/host",
			key + "ex/ample":            "bad/host",
		}},
		mutate.Addendum{Layer: l[1]}))(t)
	img = mutate.Annotations(img, map[string]string{key + "registry.example": "manifest,child"}).(v1.Image)
	idx := mutate.AppendManifests(empty.Index, add(img, v1.Descriptor{Annotations: map[string]string{key + "registry.example": "child"}}))
	idx = mutate.Annotations(idx, map[string]string{key + "registry.example": "index"}).(v1.ImageIndex)
	above := []inventory.Origin{claim("registry.example", "index"), claim("registry.example", "child"), claim("registry.example", "manifest")}
	own := []inventory.Origin{claim("index.docker.io", "library/debian"), claim("index.docker.io", "team/base"), claim("registry.example:80", "a/b")}
	want := [][]inventory.Origin{slices.Concat(own, above), above, above}
	if got := origins(of(t, idx)); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("origins\n%v, want\n%v", got, want)
	}
}

// TestBeliefs has a layer that an annotation of one image says is in a and b,
// and that another image pulled from b.
func TestBeliefs(t *testing.T) {
	l := layers(t, 1)[0]
	ref := must(name.ParseReference("registry.example/b"))(t)
	pulled := image(t, empty.Image, &remote.MountableLayer{Layer: l, Reference: ref})
	annotated := must(mutate.Append(empty.Image, mutate.Addendum{Layer: l,
		Annotations: map[string]string{"containerd.io/distribution.source.registry.example": "a,b"}}))(t)
	want := []inventory.Origin{{Registry: "registry.example", Repository: "b", Belief: mount.Remembered},
		{Registry: "registry.example", Repository: "a", Belief: mount.Claimed}}
	for _, images := range [][2]v1.Image{{pulled, annotated}, {annotated, pulled}} {
		idx := mutate.AppendManifests(empty.Index, add(images[0], v1.Descriptor{}), add(images[1], v1.Descriptor{}))
		if got := of(t, idx).Blobs[0].From; !slices.Equal(got, want) {
			t.Errorf("origins %v, want %v", got, want)
		}
	}
}

func TestBase(t *testing.T) {
	d := digest.FromString("base")
	for _, tt := range []struct {
		name, digest string
		want         *inventory.Base
	}{
		{"", "", nil},
		{"no spaces please", "sha256:short", nil},
		{"debian", "", &inventory.Base{Registry: "index.docker.io", Repository: "library/debian", Reference: "latest"}},
		{"registry.example:5000/a/b:c", d.String(), &inventory.Base{Registry: "registry.example:5000", Repository: "a/b", Reference: "c", Digest: d}},
		{"", d.String(), &inventory.Base{Digest: d}},
	} {
		img := mutate.Annotations(empty.Image, map[string]string{
			"org.opencontainers.image.base.name":   tt.name,
			"org.opencontainers.image.base.digest": tt.digest,
		}).(v1.Image)
		got := of(t, img).Root().Base
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%q %q: %+v, want %+v", tt.name, tt.digest, got, tt.want)
		}
	}
}
