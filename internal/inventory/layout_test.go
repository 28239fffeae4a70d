package inventory_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
)

// TestLayout has an OCI layout on disk: an image whose layer file is gone, and a
// blob that the index names.
func TestLayout(t *testing.T) {
	dir := t.TempDir()
	l := layers(t, 2)
	blob := static.NewLayer([]byte("a blob"), "application/vnd.example.blob")
	idx := mutate.AppendManifests(empty.Index, add(image(t, empty.Image, l...), v1.Descriptor{}), add(blob, v1.Descriptor{}))
	must(layout.Write(dir, idx))(t)
	if err := os.Remove(filepath.Join(dir, "blobs", "sha256", of1(l[1]).Encoded())); err != nil {
		t.Fatal(err)
	}
	inv := of(t, must(layout.ImageIndexFromPath(dir))(t))
	if len(inv.Manifests) != 2 || len(inv.Blobs) != 4 {
		t.Fatalf("%d manifests and %d blobs, want 2 and 4", len(inv.Manifests), len(inv.Blobs))
	}
	for i, b := range inv.Blobs {
		if i == 1 {
			var e *inventory.Error
			if _, err := b.Open(); !errors.As(err, &e) || e.Digest != b.Digest || !errors.Is(err, os.ErrNotExist) {
				t.Errorf("blob 1: %v", err)
			}
			continue
		}
		if got := digest.FromBytes(read(t, b)); got != b.Digest {
			t.Errorf("blob %d has content %s, want %s", i, got, b.Digest)
		}
	}
}

// TestTarball has what docker save writes: layers that are not compressed.
func TestTarball(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(path, nil, image(t, empty.Image, layers(t, 2)...)); err != nil {
		t.Fatal(err)
	}
	inv := of(t, must(tarball.ImageFromPath(path, nil))(t))
	if len(inv.Blobs) != 3 {
		t.Fatalf("%d blobs, want 3", len(inv.Blobs))
	}
	for i, b := range inv.Blobs {
		content := read(t, b)
		if digest.FromBytes(content) != b.Digest || int64(len(content)) != b.Size {
			t.Errorf("blob %d has %d bytes of %s, want %d of %s", i, len(content), digest.FromBytes(content), b.Size, b.Digest)
		}
	}
}

// artifact is an image whose config is not the JSON that it returns for it.
type artifact struct {
	v1.Image
	config v1.Layer
}

func (artifact) RawConfigFile() ([]byte, error) { return []byte("{}"), nil }

func (a artifact) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if of1(a.config) != digest.Digest(h.String()) {
		return nil, errNothing
	}
	return a.config, nil
}

func TestArtifactConfig(t *testing.T) {
	config := static.NewLayer([]byte("no config"), "application/vnd.example.config")
	other := static.NewLayer([]byte("another"), "application/vnd.example.config")
	d := v1.Descriptor{Size: 9, Digest: must(config.Digest())(t)}
	img := raw(t, v1.Manifest{SchemaVersion: 2, Config: d})
	if got := string(read(t, of(t, artifact{img, config}).Blobs[0])); got != "no config" {
		t.Errorf("config %q", got)
	}
	if _, err := of(t, artifact{img, other}).Blobs[0].Open(); !errors.Is(err, errNothing) {
		t.Errorf("a config that is not there: %v", err)
	}
}
