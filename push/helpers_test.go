package push_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

const layerSize = 256 << 10

// layer returns a layer of size bytes that are the same for the same seed.
func layer(seed string, size int) v1.Layer {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(content) // it does not fail
	copy(content, seed)
	return static.NewLayer(content, types.OCILayer)
}

// image returns an image of the given layers, with a config of its own.
func image(t testing.TB, id string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.Config(img, v1.Config{Env: []string{"ID=" + id}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// layers returns n layers of size bytes, named prefix1 to prefixN.
func layers(prefix string, n, size int) []v1.Layer {
	out := make([]v1.Layer, n)
	for i := range out {
		out[i] = layer(fmt.Sprint(prefix, i+1), size)
	}
	return out
}

// label names the blobs of an image in the registry's log.
func label(t testing.TB, r *registrytest.Registry, prefix string, img v1.Image) {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range ls {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		r.Label(digest.Digest(d.String()), fmt.Sprint(prefix, i+1))
	}
	c, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	r.Label(digest.Digest(c.String()), "config")
}

// ref parses a reference on the host.
func ref(t testing.TB, host, s string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(host + "/" + s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pusher returns a Pusher with anonymous access.
func pusher(t testing.TB, opts ...push.Option) *push.Pusher {
	t.Helper()
	p, err := push.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// seed puts an image into a repository of the registry without a request.
func seed(t testing.TB, r *registrytest.Registry, repo, tag string, img v1.Image) {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		r.PutBlob(repo, content)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	r.PutBlob(repo, bytes.Clone(config))
	body, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	r.PutManifest(repo, tag, string(types.OCIManifestSchema1), body)
}

// appendTo adds layers and a new config to an image.
func appendTo(img v1.Image, layers ...v1.Layer) (v1.Image, error) {
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		return nil, err
	}
	return mutate.Config(img, v1.Config{Env: []string{"ID=app"}})
}

// mountableFrom returns the layer as ggcr gives one that was pulled from r.
func mountableFrom(l v1.Layer, r name.Reference) v1.Layer {
	return &remote.MountableLayer{Layer: l, Reference: r}
}

// goldenPath names the golden file of a case.
func goldenPath(dir, name string) string {
	return filepath.Join("testdata", dir, strings.NewReplacer(" ", "-", ",", "").Replace(name)+".txt")
}

// golden compares got with the content of a file. UPDATE_GOLDEN=1 writes the
// file instead; a log that gets longer is a round trip too many.
func golden(t testing.TB, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s: the log has changed; want\n%s\ngot\n%s", path, want, got)
	}
}
