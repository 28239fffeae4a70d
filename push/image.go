package push

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is what can be pushed: a v1.Image or a v1.ImageIndex of
// github.com/google/go-containerregistry, nested indexes too, built, mutated,
// read from disk or pulled from a registry. Its layers are opened only when
// their bytes must be sent.
type Image interface {
	MediaType() (types.MediaType, error)
	Digest() (v1.Hash, error)
	RawManifest() ([]byte, error)
}

var (
	_ Image = (v1.Image)(nil)
	_ Image = (v1.ImageIndex)(nil)
)
