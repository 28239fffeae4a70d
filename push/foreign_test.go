package push_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/push"
)

// TestNondistributable: a layer that must not be distributed stays where its URLs
// say, and is neither asked for nor sent, unless the caller wants it sent.
func TestNondistributable(t *testing.T) {
	for _, media := range []types.MediaType{types.DockerForeignLayer, types.OCIRestrictedLayer} {
		foreign := static.NewLayer([]byte("a layer of an operating system"), media)
		img, err := mutate.Append(empty.Image,
			mutate.Addendum{Layer: foreign, MediaType: media, URLs: []string{"https://example.com/layer"}},
			mutate.Addendum{Layer: layer("own", 1<<10)})
		if err != nil {
			t.Fatal(err)
		}
		hash, err := foreign.Digest()
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			options []push.Option
			want    mount.Disposition
			held    bool
		}{
			{nil, mount.Skipped, false},
			{[]push.Option{push.WithForceUpload()}, mount.Skipped, false},
			{[]push.Option{push.WithNondistributable()}, mount.Uploaded, true},
		} {
			srv := registrytest.Start(t, registrytest.Behaviour{})
			report, err := pusher(t, tt.options...).Push(context.Background(), img, ref(t, srv.Host, "app:v1"))
			if err != nil {
				t.Fatal(err)
			}
			d := digest.Digest(hash.String())
			_, held := srv.Registry.Blob("app", d)
			asked := slices.ContainsFunc(srv.Registry.Log(), func(e registrytest.Entry) bool { return e.Digest == d })
			if held != tt.held || asked != tt.held {
				t.Errorf("%s: held %v, asked for %v; want %v", media, held, asked, tt.held)
			}
			for _, b := range report.Blobs {
				if b.Digest == d && b.Disposition != tt.want {
					t.Errorf("%s: %v, want %v", media, b.Disposition, tt.want)
				}
			}
		}
	}
}

// TestNondistributableStands: a manifest that stands proves nothing of the layers
// that may be elsewhere.
func TestNondistributableStands(t *testing.T) {
	foreign := static.NewLayer([]byte(strings.Repeat("foreign", 1000)), types.OCIRestrictedLayer)
	d, _ := foreign.Digest()
	img := image(t, "a", layer("a", 1000), foreign)
	for _, c := range []struct {
		name          string
		before, after push.Image
	}{
		{"the same tag", img, img},
		{"a child of the tag's index", indexOf(img), indexOf(img, image(t, "b", layer("b", 1000)))},
	} {
		srv := registrytest.Start(t, registrytest.Behaviour{})
		if _, err := pusher(t).Push(context.Background(), c.before, ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		report, err := pusher(t, push.WithNondistributable()).Push(context.Background(), c.after, ref(t, srv.Host, "app:v1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := srv.Registry.Blob("app", digest.Digest(d.String())); !ok {
			t.Errorf("%s: the layer is reported as %s, %d bytes saved, and is not there", c.name, report.Blobs[1].Disposition, report.Blobs[1].Saved)
		}
	}
}
