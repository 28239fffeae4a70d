// Package images makes images for tests: small, valid, and the same in every
// run.
package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// LayerSize is about how many bytes a layer has. No layer of Layer is smaller,
// and none is larger by 4 KiB or more: the file in it is not compressed.
const LayerSize = 256 << 10

// A layer is content in memory, as it is sent and unpacked.
type layer struct {
	compressed, uncompressed []byte
	digest, diffID           v1.Hash
}

// Digest returns the digest of the compressed content.
func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID returns the digest of the uncompressed content.
func (l *layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size returns the length of the compressed content.
func (l *layer) Size() (int64, error) { return int64(len(l.compressed)), nil }

// MediaType returns that of a layer compressed by gzip.
func (l *layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed returns the content as it is sent.
func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.compressed)), nil
}

// Uncompressed returns the archive.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.uncompressed)), nil
}

// Layer returns a layer of LayerSize with one file of random bytes, the same for
// the same name.
func Layer(name string) (v1.Layer, error) { return LayerOf(name, LayerSize) }

// LayerOf returns a layer like that of Layer whose file has size bytes.
func LayerOf(name string, size int) (v1.Layer, error) {
	content := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	if _, err := random.Read(content); err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(archive.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return content2layer(packed.Bytes(), archive.Bytes())
}

// content2layer computes the digests of a layer.
func content2layer(compressed, uncompressed []byte) (v1.Layer, error) {
	l := &layer{compressed: compressed, uncompressed: uncompressed}
	var err error
	if l.digest, _, err = v1.SHA256(bytes.NewReader(compressed)); err != nil {
		return nil, err
	}
	if l.diffID, _, err = v1.SHA256(bytes.NewReader(uncompressed)); err != nil {
		return nil, err
	}
	return l, nil
}

// EmptyLayer returns a layer without any bytes. It is no valid archive, but
// registries take it, and so must clients.
func EmptyLayer() (v1.Layer, error) { return content2layer(nil, nil) }

// Layers returns n layers that are named prefix1 to prefixN.
func Layers(prefix string, n int) ([]v1.Layer, error) {
	out := make([]v1.Layer, n)
	for i := range out {
		var err error
		if out[i], err = Layer(fmt.Sprint(prefix, i+1)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Image returns an OCI image of the layers, with a config that holds id.
func Image(id string, layers ...v1.Layer) (v1.Image, error) {
	return Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), id, layers...)
}

// Append returns img with more layers, and a config that holds id.
func Append(img v1.Image, id string, layers ...v1.Layer) (v1.Image, error) {
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		return nil, err
	}
	old, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	c := old.DeepCopy()
	c.Config.Env = []string{"ID=" + id}
	c.OS, c.Architecture = "linux", "amd64"
	return mutate.ConfigFile(img, c)
}

// For returns img with a config that says that it is for an architecture of
// Linux. Those of Image are for amd64.
func For(architecture string, img v1.Image) (v1.Image, error) {
	old, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	c := old.DeepCopy()
	c.Architecture = architecture
	return mutate.ConfigFile(img, c)
}

// Index returns an OCI index of images or indexes. Those with the same place in
// architectures are for that architecture of Linux; "" is none.
func Index(architectures []string, children ...mutate.Appendable) v1.ImageIndex {
	var adds []mutate.IndexAddendum
	for i, c := range children {
		a := mutate.IndexAddendum{Add: c}
		if architectures[i] != "" {
			a.Platform = &v1.Platform{OS: "linux", Architecture: architectures[i]}
		}
		adds = append(adds, a)
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
}
