package inventory_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/crossmount/crossmount/internal/inventory"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// shelf is an index that takes everything that it names for a blob.
type shelf struct{ hollow }

func (shelf) Layer(v1.Hash) (v1.Layer, error) {
	return static.NewLayer([]byte("a blob"), "text/plain"), nil
}

// FuzzOf reads manifests of any content, as an image and as an index: it fails
// with an *Error, or returns an inventory that holds together.
func FuzzOf(f *testing.F) {
	const d = `{"mediaType":"text/plain","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","data":"e30="}`
	for _, seed := range []string{
		`{"schemaVersion":2,"config":` + d + `,"layers":[` + d + `,` + d + `]}`,
		`{"schemaVersion":2,"manifests":[` + d + `],"annotations":{"containerd.io/distribution.source.docker.io":"a,b"}}`,
		`{"schemaVersion":2,"config":` + d + `,"annotations":{"org.opencontainers.image.base.name":"debian:12"}}`,
		`{"schemaVersion":1}`, `{"config":{}}`, `{"manifests":[{}]}`, `null`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		img, err := partial.CompressedToImage(bare{body, types.OCIManifestSchema1})
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range []inventory.Image{img, shelf{hollow{bare2{bare{body, types.OCIImageIndex}}, errNothing}}} {
			inv, err := inventory.Of(img)
			var e *inventory.Error
			if err != nil && !errors.As(err, &e) {
				t.Errorf("not an *Error: %v", err)
			}
			if err == nil {
				consistent(t, inv, body)
			}
		}
	})
}

// consistent checks what is true of every inventory.
func consistent(t *testing.T, inv *inventory.Inventory, body []byte) {
	t.Helper()
	root := inv.Root()
	if !bytes.Equal(root.Body, body) || root.Digest != digest.FromBytes(body) {
		t.Errorf("root is %s", root.Digest)
	}
	seen := map[digest.Digest]bool{}
	for i, b := range inv.Blobs {
		if seen[b.Digest] || b.Digest.Validate() != nil || b.Size < 0 {
			t.Errorf("blob %d is %s of %d bytes", i, b.Digest, b.Size)
		}
		seen[b.Digest] = true
		if rc, err := b.Open(); err == nil {
			if err := rc.Close(); err != nil {
				t.Error(err)
			}
		} else if b.Sealed != errors.Is(err, inventory.ErrSealed) {
			t.Errorf("blob %d: sealed is %v, and %v", i, b.Sealed, err)
		}
		for j, o := range b.From {
			if o.Registry == "" || o.Repository == "" || j > 0 && b.From[j-1].Belief < o.Belief {
				t.Errorf("blob %d comes from %v", i, b.From)
			}
		}
	}
}
