package inventory_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/mount"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

func TestImage(t *testing.T) {
	l := layers(t, 3)
	img := image(t, empty.Image, l...)
	inv := of(t, img)
	if len(inv.Manifests) != 1 || len(inv.Blobs) != 4 {
		t.Fatalf("%d manifests and %d blobs, want 1 and 4", len(inv.Manifests), len(inv.Blobs))
	}
	m := inv.Root()
	if m.Digest != digest.FromBytes(m.Body) || m.MediaType != string(types.DockerManifestSchema2) {
		t.Errorf("root is %s of type %s", m.Digest, m.MediaType)
	}
	if !slices.Equal(m.Blobs, []int{0, 1, 2, 3}) || m.Children != nil || m.Platform != nil || m.Base != nil {
		t.Errorf("root is %+v", m)
	}
	for i, b := range inv.Blobs {
		want := mount.Blob{Digest: b.Digest, Size: int64(len(read(t, b))), Position: i}
		if i == 3 {
			want.Role = mount.Config
		} else if want.Digest = of1(l[i]); b.Descriptor.MediaType != types.DockerLayer {
			t.Errorf("blob %d has type %s", i, b.Descriptor.MediaType)
		}
		if b.Blob != want {
			t.Errorf("blob %d is %+v, want %+v", i, b.Blob, want)
		}
		if got := digest.FromBytes(read(t, b)); got != b.Digest {
			t.Errorf("blob %d has content %s, want %s", i, got, b.Digest)
		}
		if b.From != nil {
			t.Errorf("blob %d comes from %v", i, b.From)
		}
	}
}

func TestEmpty(t *testing.T) {
	if inv := of(t, empty.Image); len(inv.Blobs) != 1 || inv.Blobs[0].Role != mount.Config {
		t.Errorf("empty image: %+v", inv.Blobs)
	}
	if inv := of(t, empty.Index); len(inv.Blobs) != 0 || len(inv.Manifests) != 1 {
		t.Errorf("empty index: %+v", inv)
	}
}

// TestIndex has an index of an image, a nested index and the image again, with
// shared layers and one child that is a blob.
func TestIndex(t *testing.T) {
	l := layers(t, 3)
	one := image(t, empty.Image, l[0], l[1], l[0])
	two := image(t, empty.Image, l[0], l[2])
	amd, arm := &v1.Platform{OS: "linux", Architecture: "amd64"}, &v1.Platform{OS: "linux", Architecture: "arm64"}
	nested := mutate.AppendManifests(empty.Index,
		add(two, v1.Descriptor{Platform: arm}), add(one, v1.Descriptor{Platform: amd}))
	blob := static.NewLayer([]byte("a blob"), "application/vnd.example.blob")
	root := mutate.AppendManifests(empty.Index, add(blob, v1.Descriptor{}),
		add(one, v1.Descriptor{Platform: amd}), add(nested, v1.Descriptor{}), add(one, v1.Descriptor{}))
	inv := of(t, root)

	var got []digest.Digest
	for _, m := range inv.Manifests {
		got = append(got, m.Digest)
	}
	if want := []digest.Digest{of1(one), of1(two), of1(nested), of1(root)}; !slices.Equal(got, want) {
		t.Fatalf("manifests %v, want %v", got, want)
	}
	for i, want := range []struct {
		blobs, children []int
		platform        *v1.Platform
	}{
		{blobs: []int{0, 1, 2}, platform: amd},
		{blobs: []int{0, 3, 4}, platform: arm},
		{children: []int{1, 0}},
		{blobs: []int{5}, children: []int{0, 2}},
	} {
		m := inv.Manifests[i]
		if !slices.Equal(m.Blobs, want.blobs) || !slices.Equal(m.Children, want.children) {
			t.Errorf("manifest %d has blobs %v and children %v, want %v and %v", i, m.Blobs, m.Children, want.blobs, want.children)
		}
		if (m.Platform == nil) != (want.platform == nil) || m.Platform != nil && !m.Platform.Equals(*want.platform) {
			t.Errorf("manifest %d is for %v, want %v", i, m.Platform, want.platform)
		}
	}
	type place struct {
		role            mount.Role
		image, position int
	}
	want := []place{
		{mount.Layer, 0, 0}, {mount.Layer, 0, 1}, {mount.Config, 0, 3},
		{mount.Layer, 1, 1}, {mount.Config, 1, 2}, {mount.Layer, 3, 0},
	}
	for i, b := range inv.Blobs {
		if got := (place{b.Role, b.Image, b.Position}); got != want[i] {
			t.Errorf("blob %d is at %+v, want %+v", i, got, want[i])
		}
	}
	if got := string(read(t, inv.Blobs[5])); got != "a blob" {
		t.Errorf("the blob in the index holds %q", got)
	}
}

func TestNonDistributable(t *testing.T) {
	for _, mt := range []types.MediaType{types.DockerForeignLayer, types.OCIRestrictedLayer,
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"} {
		l := layers(t, 2)
		foreign := must(mutate.Append(empty.Image, mutate.Addendum{Layer: l[0], MediaType: mt, URLs: []string{"https://example.com/l"}},
			mutate.Addendum{Layer: l[1]}))(t)
		inv := of(t, foreign)
		if b := inv.Blobs[0]; !b.External || !slices.Equal(b.Descriptor.URLs, []string{"https://example.com/l"}) {
			t.Errorf("%s: not external: %+v", mt, b.Blob)
		}
		if inv.Blobs[1].External || inv.Blobs[2].External {
			t.Errorf("%s: the others are external", mt)
		}
		// Where another image needs the same bytes, they have to be sent.
		plain := image(t, empty.Image, l[0])
		for _, both := range [][2]v1.Image{{foreign, plain}, {plain, foreign}} {
			idx := mutate.AppendManifests(empty.Index, add(both[0], v1.Descriptor{}), add(both[1], v1.Descriptor{}))
			if of(t, idx).Blobs[0].External {
				t.Errorf("%s: external, but needed", mt)
			}
		}
	}
}

func TestInlineData(t *testing.T) {
	content := []byte("inline")
	d := v1.Descriptor{MediaType: "text/plain", Size: int64(len(content)), Digest: must(v1.NewHash(digest.FromBytes(content).String()))(t), Data: content}
	config := must(empty.Image.Manifest())(t).Config
	bad := d
	bad.Data = []byte("other!")
	for _, tt := range []struct {
		name   string
		d      v1.Descriptor
		sealed bool
	}{{"right", d, false}, {"wrong", bad, true}} {
		img := raw(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{tt.d}})
		b := of(t, img).Blobs[0]
		if b.Sealed != tt.sealed {
			t.Errorf("%s: sealed is %v", tt.name, b.Sealed)
		}
		rc, err := b.Open()
		if tt.sealed {
			var e *inventory.Error
			if !errors.As(err, &e) || !errors.Is(err, inventory.ErrSealed) || !errors.Is(err, errNothing) || e.Digest != b.Digest {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got, err := io.ReadAll(rc); err != nil || string(got) != "inline" {
			t.Errorf("%s: content %q, %v", tt.name, got, err)
		}
	}
}

// TestSparse has a layer that only the second of two images holds.
func TestSparse(t *testing.T) {
	l := layers(t, 1)
	whole := image(t, empty.Image, l...)
	without := mutate.Annotations(whole, map[string]string{"a": "b"}).(v1.Image)
	if b := of(t, sparse{without}).Blobs[0]; !b.Sealed {
		t.Error("a layer that cannot be had is not sealed")
	}
	both := mutate.AppendManifests(empty.Index, add(sparse{without}, v1.Descriptor{}), add(whole, v1.Descriptor{}))
	b := of(t, both).Blobs[0]
	if b.Sealed || digest.FromBytes(read(t, b)) != of1(l[0]) {
		t.Error("the second image was not asked")
	}
}

// TestAllFail has a layer that two images hold, and neither can open.
func TestAllFail(t *testing.T) {
	l := layers(t, 1)
	one := image(t, empty.Image, broken{l[0], io.ErrUnexpectedEOF})
	two := mutate.Annotations(image(t, empty.Image, broken{l[0], errNothing}), map[string]string{"a": "b"}).(v1.Image)
	idx := mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{}), add(two, v1.Descriptor{}))
	_, err := of(t, idx).Blobs[0].Open()
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, errNothing) || errors.Is(err, inventory.ErrSealed) || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

// TestNothingOpened has layers, a config and an image that count how often they
// are read.
func TestNothingOpened(t *testing.T) {
	opened := 0
	l := layers(t, 2)
	img := counted{image(t, empty.Image, &counting{l[0], &opened}, &counting{l[1], &opened}), &opened}
	opened = 0
	inv := of(t, img)
	if opened != 0 {
		t.Fatalf("content was read %d times", opened)
	}
	for i, b := range inv.Blobs {
		read(t, b)
		read(t, b)
		if opened != 2*(i+1) {
			t.Errorf("blob %d: read %d times in all, want %d", i, opened, 2*(i+1))
		}
	}
}
