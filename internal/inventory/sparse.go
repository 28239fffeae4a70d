package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Found is a manifest that an index names and does not hold, as a registry gave
// it.
type Found struct {
	Digest    digest.Digest
	MediaType string
	Body      []byte
	// Source is where it was found. It holds the blobs as well.
	Source Origin
}

// With returns the inventory with manifests that were absent. Their blobs are
// sealed, and said to be where the manifest was found; their own children are
// absent again, unless they are known already. Nothing is read twice. The error
// is like that of [Of].
func (i *Inventory) With(found ...Found) (*Inventory, error) {
	known := make(map[digest.Digest]Found, len(found))
	for _, f := range found {
		known[f.Digest] = f
	}
	return i.with(known)
}

// with walks through what was read anew.
func (i *Inventory) with(found map[digest.Digest]Found) (*Inventory, error) {
	w := walk{blobs: map[digest.Digest]int{}, manifests: map[digest.Digest]int{}, found: found}
	w.root, w.images = i.root, map[digest.Digest]Image{}
	for d, img := range i.images {
		w.images[d] = img
	}
	if _, err := w.visit(i.root, node{}); err != nil {
		return nil, err
	}
	return &w.Inventory, nil
}

// missing says whether an error means that the index does not hold its child h,
// and not that there is something wrong with it.
func missing(err error, h digest.Digest) bool {
	var e *Error
	if !errors.As(err, &e) || e.Digest != h {
		return false
	}
	wrong := []error{ErrStreaming, ErrSchema1, ErrDigest, ErrManifest, ErrSize, ErrUnsupported, ErrDepth}
	return !slices.ContainsFunc(wrong, func(target error) bool { return errors.Is(err, target) })
}

// absent adds a manifest that the image does not hold.
func (w *walk) absent(d v1.Descriptor, n node, why error) int {
	if !errors.Is(why, ErrMissingChild) {
		why = fmt.Errorf("%w: %w", ErrMissingChild, why)
	}
	return w.add(Manifest{Digest: n.digest, MediaType: string(d.MediaType), Platform: n.platform, From: n.claims, Absent: why})
}

// refers notes what a manifest says of its subject. The manifests of Docker have
// no such field, whatever stands in them.
func (m *Manifest) refers(subject *v1.Descriptor, kind string, annotations map[string]string) {
	m.Annotations = annotations
	t := types.MediaType(m.MediaType)
	if subject == nil || t != types.OCIManifestSchema1 && t != types.OCIImageIndex {
		return
	}
	d := digest.Digest(subject.Digest.String())
	if d.Validate() != nil {
		return
	}
	m.Subject, m.ArtifactType = d, kind
}

// image returns the manifest as an image or index that holds nothing else.
func (f Found) image() Image {
	bare := bareManifest{f}
	if types.MediaType(f.MediaType).IsIndex() {
		return bareIndex{bare}
	}
	return bareImage{bare}
}

// errOnlyManifest is why nothing below a manifest can be had that was found in a
// registry.
var errOnlyManifest = errors.New("only the manifest was read")

// bareManifest is what an image and an index that were found have in common.
type bareManifest struct{ found Found }

func (b bareManifest) MediaType() (types.MediaType, error) {
	return types.MediaType(b.found.MediaType), nil
}
func (b bareManifest) RawManifest() ([]byte, error) { return b.found.Body, nil }
func (b bareManifest) Digest() (v1.Hash, error)     { return v1.NewHash(b.found.Digest.String()) }
func (b bareManifest) Size() (int64, error)         { return int64(len(b.found.Body)), nil }

// bareImage is an image without content.
type bareImage struct{ bareManifest }

func (b bareImage) Manifest() (*v1.Manifest, error)       { return partial.Manifest(b) }
func (bareImage) Layers() ([]v1.Layer, error)             { return nil, errOnlyManifest }
func (b bareImage) ConfigName() (v1.Hash, error)          { return v1.Hash{}, errOnlyManifest }
func (bareImage) ConfigFile() (*v1.ConfigFile, error)     { return nil, errOnlyManifest }
func (bareImage) RawConfigFile() ([]byte, error)          { return nil, errOnlyManifest }
func (bareImage) LayerByDigest(v1.Hash) (v1.Layer, error) { return nil, errOnlyManifest }
func (bareImage) LayerByDiffID(v1.Hash) (v1.Layer, error) { return nil, errOnlyManifest }

// bareIndex is an index without children.
type bareIndex struct{ bareManifest }

func (b bareIndex) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(b.found.Body))
}
func (bareIndex) Image(v1.Hash) (v1.Image, error)           { return nil, errOnlyManifest }
func (bareIndex) ImageIndex(v1.Hash) (v1.ImageIndex, error) { return nil, errOnlyManifest }

var (
	_ v1.Image      = bareImage{}
	_ v1.ImageIndex = bareIndex{}
)
