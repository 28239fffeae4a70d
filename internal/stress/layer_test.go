package stress_test

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// layer is a layer of any size that is made up while it is read. Its digest is
// known, so that an image of it is built without reading it; as JSON it goes to
// a child process.
type layer struct {
	Seed  uint64
	Bytes int64
	Sum   digest.Digest
}

// newLayer reads the layer once to know its digest.
func newLayer(seed uint64, size int64) (layer, error) {
	l := layer{Seed: seed, Bytes: size}
	var err error
	l.Sum, err = digest.FromReader(l.open())
	return l, err
}

// makeLayers returns n layers of size bytes each, all different.
func makeLayers(t testing.TB, seed uint64, n int, size int64) []layer {
	t.Helper()
	layers := make([]layer, n)
	for i := range layers {
		l, err := newLayer(seed<<16+uint64(i), size)
		if err != nil {
			t.Fatal(err)
		}
		layers[i] = l
	}
	return layers
}

// Digest returns the digest.
func (l layer) Digest() (v1.Hash, error) { return v1.NewHash(l.Sum.String()) }

// DiffID returns the digest: the layer is not compressed.
func (l layer) DiffID() (v1.Hash, error) { return l.Digest() }

// Size returns the size in bytes.
func (l layer) Size() (int64, error) { return l.Bytes, nil }

// MediaType returns that of a layer without compression.
func (l layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed returns the content.
func (l layer) Compressed() (io.ReadCloser, error) { return io.NopCloser(l.open()), nil }

// Uncompressed returns the content.
func (l layer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

func (l layer) open() io.Reader {
	g := &generator{left: l.Bytes}
	source := rand.NewPCG(l.Seed, l.Seed)
	for i := 0; i < len(g.block); i += 8 {
		binary.LittleEndian.PutUint64(g.block[i:], source.Uint64())
	}
	return g
}

// generator reads one block of noise over and over, numbered: as cheap as a
// copy, and no two blocks are equal.
type generator struct {
	left  int64
	round uint64
	at    int
	block [16 << 10]byte
}

// Read makes up the next bytes.
func (g *generator) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && g.left > 0 {
		if g.at == 0 {
			binary.LittleEndian.PutUint64(g.block[:], g.round)
			g.round++
		}
		end := min(len(g.block), g.at+int(min(g.left, int64(len(g.block)))))
		k := copy(p[n:], g.block[g.at:end])
		n += k
		g.left -= int64(k)
		g.at = (g.at + k) % len(g.block)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// makeImage returns an image of the layers with a config of its own.
func makeImage(id string, layers []layer) (v1.Image, error) {
	all := make([]v1.Layer, len(layers))
	for i, l := range layers {
		all[i] = l
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), all...)
	if err != nil {
		return nil, err
	}
	return mutate.Config(img, v1.Config{Env: []string{"ID=" + id, "LAYERS=" + strconv.Itoa(len(layers))}})
}

// mustImage is makeImage within a test.
func mustImage(t testing.TB, id string, layers []layer) v1.Image {
	t.Helper()
	img, err := makeImage(id, layers)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
