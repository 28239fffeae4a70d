package inventory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// errNothing is what an image says that holds no content.
var errNothing = errors.New("nothing here")

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func of(t *testing.T, img inventory.Image) *inventory.Inventory {
	t.Helper()
	return must(inventory.Of(img))(t)
}

// layers returns n layers, each of another size.
func layers(t *testing.T, n int) []v1.Layer {
	t.Helper()
	var all []v1.Layer
	for i := range n {
		all = append(all, static.NewLayer(fmt.Appendf(nil, "layer %0*d of %s", i+1, i, t.Name()), types.DockerLayer))
	}
	return all
}

func image(t *testing.T, base v1.Image, l ...v1.Layer) v1.Image {
	t.Helper()
	return must(mutate.AppendLayers(base, l...))(t)
}

func add(what mutate.Appendable, d v1.Descriptor) mutate.IndexAddendum {
	return mutate.IndexAddendum{Add: what, Descriptor: d}
}

// of1 returns the digest of an image or layer that has one.
func of1(x interface{ Digest() (v1.Hash, error) }) digest.Digest {
	h, err := x.Digest()
	if err != nil {
		panic(err)
	}
	return digest.Digest(h.String())
}

func read(t *testing.T, b inventory.Blob) []byte {
	t.Helper()
	rc, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(rc)
	if err = errors.Join(err, rc.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

// bare is an image that has only the bytes of its manifest.
type bare struct {
	body []byte
	kind types.MediaType
}

func raw(t *testing.T, manifest any) v1.Image {
	t.Helper()
	body := must(json.Marshal(manifest))(t)
	return must(partial.CompressedToImage(bare{body, types.OCIManifestSchema1}))(t)
}

func (b bare) RawConfigFile() ([]byte, error)                         { return nil, errNothing }
func (b bare) MediaType() (types.MediaType, error)                    { return b.kind, nil }
func (b bare) RawManifest() ([]byte, error)                           { return b.body, nil }
func (b bare) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return nil, errNothing }

// sparse is an image whose layers cannot be had.
type sparse struct{ v1.Image }

func (sparse) Layers() ([]v1.Layer, error)             { return nil, errNothing }
func (sparse) LayerByDigest(v1.Hash) (v1.Layer, error) { return nil, errNothing }

// broken is a layer that cannot be opened.
type broken struct {
	v1.Layer
	err error
}

func (b broken) Compressed() (io.ReadCloser, error) { return nil, b.err }

// counting is a layer that counts how often it is read.
type counting struct {
	v1.Layer
	opened *int
}

func (c *counting) Compressed() (io.ReadCloser, error) {
	*c.opened++
	return c.Layer.Compressed()
}

func (c *counting) Uncompressed() (io.ReadCloser, error) {
	*c.opened++
	return c.Layer.Uncompressed()
}

// counted is an image that counts how often its config is read.
type counted struct {
	v1.Image
	opened *int
}

func (c counted) RawConfigFile() ([]byte, error) {
	*c.opened++
	return c.Image.RawConfigFile()
}

// lying is an image with another digest than its own.
type lying struct{ v1.Image }

func (lying) Digest() (v1.Hash, error) {
	return v1.NewHash(digest.FromString("a lie").String())
}

// wrapped is an image whose layers are wrapped in others.
type wrapped struct{ v1.Image }

func (w wrapped) Layers() ([]v1.Layer, error) {
	all, err := w.Image.Layers()
	for i, l := range all {
		all[i] = envelope{l}
	}
	return all, err
}

// envelope is a layer around another.
type envelope struct{ v1.Layer }

func (e envelope) Unwrap() v1.Layer { return e.Layer }

// counter is a registry that counts its requests.
type counter struct {
	http.Handler
	requests *atomic.Int64
}

func (c counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	c.Handler.ServeHTTP(w, r)
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
