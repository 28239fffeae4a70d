package inventory_test

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// hollow is an index that holds nothing of what it names, and returns err for it.
type hollow struct {
	bare2
	err error
}

func (h hollow) Size() (int64, error)                      { return partial.Size(h) }
func (h hollow) Image(v1.Hash) (v1.Image, error)           { return nil, h.err }
func (h hollow) ImageIndex(v1.Hash) (v1.ImageIndex, error) { return nil, h.err }
func (h hollow) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(h.body))
}

// hollowed returns idx without what it names.
func hollowed(t *testing.T, idx inventory.Image, err error) v1.ImageIndex {
	t.Helper()
	return hollow{bare2{bare{must(idx.RawManifest())(t), types.OCIImageIndex}}, err}
}

func TestErrors(t *testing.T) {
	one := image(t, empty.Image, layers(t, 1)...)
	fine := must(one.Manifest())(t)
	config := fine.Config
	manifest := func(change func(*v1.Manifest)) v1.Image {
		m := fine.DeepCopy()
		change(m)
		return raw(t, m)
	}
	index := func(d v1.Descriptor, img ...v1.Image) inventory.Image {
		d.Digest = cmp.Or(d.Digest, must(one.Digest())(t))
		return mutate.AppendManifests(empty.Index, add(append(img, one)[0], d))
	}
	deep := func(n int) v1.ImageIndex {
		idx := mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{}))
		for range n - 1 {
			idx = mutate.AppendManifests(empty.Index, add(idx, v1.Descriptor{}))
		}
		return idx
	}
	of(t, deep(8))
	streaming := image(t, empty.Image, stream.NewLayer(io.NopCloser(strings.NewReader("bytes"))))
	for _, tt := range []struct {
		name   string
		img    inventory.Image
		want   error
		digest digest.Digest // "" is any
	}{
		{"nil", nil, inventory.ErrNoImage, ""},
		{"nil pointer", (*bareImage)(nil), inventory.ErrNoImage, ""},
		{"nil pointer to a value", (*sparse)(nil), inventory.ErrNoImage, ""},
		{"wrapper of nil", sparse{}, inventory.ErrNoImage, ""},
		{"a lie", lying{one}, inventory.ErrDigest, ""},
		{"a lie in an index", index(v1.Descriptor{}, lying{one}), inventory.ErrDigest, of1(one)},
		{"another digest in the index", index(v1.Descriptor{Digest: config.Digest}), inventory.ErrDigest, digest.Digest(config.Digest.String())},
		{"stream", streaming, inventory.ErrStreaming, ""},
		{"stream, reason", streaming, stream.ErrNotComputed, ""},
		{"stream in an index", mutate.AppendManifests(empty.Index, add(streaming, v1.Descriptor{})), inventory.ErrStreaming, ""},
		{"schema 1", must(partial.CompressedToImage(bare{[]byte(`{}`), types.DockerManifestSchema1Signed}))(t), inventory.ErrSchema1, ""},
		{"schema 1 inside", manifest(func(m *v1.Manifest) { m.SchemaVersion = 1 }), inventory.ErrSchema1, ""},
		{"schema 1 in an index", index(v1.Descriptor{MediaType: types.DockerManifestSchema1}), inventory.ErrSchema1, of1(one)},
		{"no JSON", must(partial.CompressedToImage(bare{[]byte(`{`), types.OCIManifestSchema1}))(t), inventory.ErrManifest, ""},
		{"no config", manifest(func(m *v1.Manifest) { m.Config = v1.Descriptor{} }), inventory.ErrManifest, ""},
		{"negative size", manifest(func(m *v1.Manifest) { m.Layers[0].Size = -1 }), inventory.ErrManifest, ""},
		{"two sizes", manifest(func(m *v1.Manifest) { m.Config.Digest = m.Layers[0].Digest }), inventory.ErrSize, digest.Digest(fine.Layers[0].Digest.String())},
		{"index in an image", manifest(func(m *v1.Manifest) { m.MediaType = types.OCIImageIndex }), inventory.ErrManifest, ""},
		{"image in an index", mutate.IndexMediaType(empty.Index, types.OCIManifestSchema1), inventory.ErrManifest, ""},
		{"artifact manifest", index(v1.Descriptor{MediaType: "application/vnd.oci.artifact.manifest.v1+json"}), inventory.ErrUnsupported, of1(one)},
		{"missing blob", hollowed(t, index(v1.Descriptor{MediaType: "text/plain"}), errNothing), inventory.ErrUnsupported, of1(one)},
		{"neither", bare2{bare{must(one.RawManifest())(t), types.OCIManifestSchema1}}, inventory.ErrUnsupported, of1(one)},
		{"too deep", deep(9), inventory.ErrDepth, ""},
	} {
		inv, err := inventory.Of(tt.img)
		var e *inventory.Error
		if inv != nil || !errors.As(err, &e) || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			continue
		}
		if tt.digest != "" && e.Digest != tt.digest {
			t.Errorf("%s: about %q, want %q", tt.name, e.Digest, tt.digest)
		}
		if strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s: more than a line: %q", tt.name, err)
		}
	}
}

// TestOtherMediaType has an image under a media type of its own in an index.
func TestOtherMediaType(t *testing.T) {
	one := image(t, empty.Image, layers(t, 1)...)
	idx := mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{MediaType: "application/vnd.example.image"}))
	if inv := of(t, idx); len(inv.Manifests) != 2 || len(inv.Blobs) != 2 {
		t.Errorf("%d manifests and %d blobs, want 2 and 2", len(inv.Manifests), len(inv.Blobs))
	}
}

// TestPanic has images that panic for a reason of their own.
func TestPanic(t *testing.T) {
	for _, img := range []inventory.Image{
		panicking{empty.Image, func() { panic("a fault") }},
		panicking{empty.Image, func() { _ = []int{}[len(t.Name())] }},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, err := inventory.Of(img)
			t.Error(err)
		}()
	}
}

// TestSpentStream has a stream whose digest is known since it was read.
func TestSpentStream(t *testing.T) {
	l := stream.NewLayer(io.NopCloser(strings.NewReader("bytes")))
	rc := must(l.Compressed())(t)
	if _, err := io.Copy(io.Discard, rc); err != nil {
		t.Fatal(err)
	}
	if err := rc.Close(); err != nil {
		t.Fatal(err)
	}
	b := of(t, image(t, empty.Image, l)).Blobs[0]
	if _, err := b.Open(); !b.Sealed || !errors.Is(err, inventory.ErrSealed) || !errors.Is(err, stream.ErrConsumed) {
		t.Errorf("sealed is %v, and %v", b.Sealed, err)
	}
}

// TestRemoved has an index that a matcher has taken its only image from.
func TestRemoved(t *testing.T) {
	one := image(t, empty.Image, layers(t, 1)...)
	h := must(one.Digest())(t)
	idx := mutate.RemoveManifests(mutate.AppendManifests(empty.Index, add(one, v1.Descriptor{})), match.Digests(h))
	if inv := of(t, idx); len(inv.Manifests) != 1 || len(inv.Blobs) != 0 {
		t.Errorf("%d manifests and %d blobs, want 1 and 0", len(inv.Manifests), len(inv.Blobs))
	}
}

// bareImage is an image whose methods need the pointer.
type bareImage struct {
	v1.Image
	bare
}

func (b *bareImage) MediaType() (types.MediaType, error) { return b.kind, nil }
func (b *bareImage) RawManifest() ([]byte, error)        { return b.body, nil }
func (b *bareImage) Digest() (v1.Hash, error)            { return partial.Digest(b.bare) }

// bare2 is neither an image nor an index.
type bare2 struct{ bare }

func (b bare2) Digest() (v1.Hash, error) { return partial.Digest(b.bare) }

// panicking is an image with a fault.
type panicking struct {
	v1.Image
	fault func()
}

func (p panicking) RawManifest() ([]byte, error) {
	p.fault()
	return p.Image.RawManifest()
}
