package inventory

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/crossmount/crossmount/mount"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// maxDepth is how many indexes may be nested in one another. Images have one,
// or two where an index of releases holds indexes of platforms.
const maxDepth = 8

// Media types that go-containerregistry does not tell apart.
const (
	restrictedZstd   types.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
	artifactManifest types.MediaType = "application/vnd.oci.artifact.manifest.v1+json"
)

// Of returns what img is made of. It reads the manifests, which is a request
// for each child of an index that package remote returned, and no content.
//
// The error is an [*Error] and says by errors.Is which of the errors of this
// package it is, if any. What is missing is none: a child of an index shows as
// [Manifest.Absent], and content in [Blob.Open], if somebody calls that.
func Of(img Image) (*Inventory, error) {
	return (&Inventory{root: img}).with(nil)
}

// walk is an inventory in the making.
type walk struct {
	Inventory
	blobs, manifests map[digest.Digest]int // where in the inventory
	found            map[digest.Digest]Found
}

// node is what is known of a manifest from above.
type node struct {
	digest   digest.Digest // empty for the root
	platform *v1.Platform
	claims   []Origin // where annotations above say that all below is
	depth    int      // how many indexes are above
}

// visit adds a manifest and all below it, and returns its place in Manifests.
func (w *walk) visit(img Image, n node) (int, error) {
	m, err := manifest(img, n.digest)
	if err != nil {
		return 0, err
	}
	m.Platform = n.platform
	n.digest = m.Digest
	kind := types.MediaType(m.MediaType)
	switch img := img.(type) {
	case v1.ImageIndex:
		if kind.IsImage() {
			return 0, &Error{m.Digest, "read index", fmt.Errorf("%w: it is an image", ErrManifest)}
		}
		err = w.index(img, &m, n)
	case v1.Image:
		if kind.IsIndex() {
			return 0, &Error{m.Digest, "read image", fmt.Errorf("%w: it is an index", ErrManifest)}
		}
		err = w.image(img, &m, n)
	default:
		err = &Error{m.Digest, "read manifest", fmt.Errorf("%w: %T", ErrUnsupported, img)}
	}
	if err != nil {
		return 0, err
	}
	if n.depth > 0 {
		w.images[m.Digest] = img
	}
	return w.add(m), nil
}

// add adds a manifest and returns its place.
func (w *walk) add(m Manifest) int {
	w.manifests[m.Digest] = len(w.Manifests)
	w.Manifests = append(w.Manifests, m)
	return len(w.Manifests) - 1
}

// image adds the blobs of an image.
func (w *walk) image(img v1.Image, m *Manifest, n node) error {
	var parsed v1.Manifest
	if err := parse(m.Body, &parsed); err != nil {
		return &Error{m.Digest, "read image", err}
	}
	m.Base = builtOn(parsed.Annotations)
	m.refers(parsed.Subject, cmp.Or(parsed.ArtifactType, string(parsed.Config.MediaType)), parsed.Annotations)
	claims := merge(n.claims, claimed(parsed.Annotations))
	for i, c := range layers(img, parsed.Layers) {
		if err := w.blob(m, parsed.Layers[i], c, mount.Layer, i, claims); err != nil {
			return err
		}
	}
	return w.blob(m, parsed.Config, config(img, parsed.Config), mount.Config, len(parsed.Layers), claims)
}

// blob adds a blob that m, the next manifest, names at position. If it is known
// already, what m says is added to it.
func (w *walk) blob(m *Manifest, d v1.Descriptor, c content, role mount.Role, position int, claims []Origin) error {
	h, err := checked(d)
	if err != nil {
		return &Error{m.Digest, "read manifest", err}
	}
	external := !d.MediaType.IsDistributable() || d.MediaType == restrictedZstd
	at, ok := w.blobs[h]
	if !ok {
		at = len(w.Blobs)
		w.blobs[h] = at
		w.Blobs = append(w.Blobs, Blob{Descriptor: d, sealed: c.sealed, config: newReadConfig(), Blob: mount.Blob{
			Digest: h, Size: d.Size, Role: role,
			Image: len(w.Manifests), Position: position, External: external,
		}})
	}
	b := &w.Blobs[at]
	if b.Size != d.Size {
		return &Error{h, "read manifest", fmt.Errorf("%w: %d and %d bytes", ErrSize, b.Size, d.Size)}
	}
	if !slices.Contains(m.Blobs, at) {
		m.Blobs = append(m.Blobs, at)
	}
	b.External = b.External && external
	b.open = append(b.open, c.open...)
	b.Sealed = len(b.open) == 0
	b.From = merge(b.From, slices.Concat(c.from, claimed(d.Annotations), claims))
	return nil
}

// index adds the children of an index, and the blobs that it names directly.
// Those come last: they belong to the index, whose number is known once its
// children are done.
func (w *walk) index(idx v1.ImageIndex, m *Manifest, n node) error {
	if n.depth >= maxDepth {
		return &Error{m.Digest, "read index", ErrDepth}
	}
	var parsed v1.IndexManifest
	if err := parse(m.Body, &parsed); err != nil {
		return &Error{m.Digest, "read index", err}
	}
	m.Base = builtOn(parsed.Annotations)
	m.refers(parsed.Subject, parsed.ArtifactType, parsed.Annotations)
	n.claims = merge(n.claims, claimed(parsed.Annotations))
	var descriptors []v1.Descriptor
	var contents []content
	for _, d := range parsed.Manifests {
		c, err := w.child(idx, d, m, n)
		if err != nil {
			return err
		}
		if c != nil {
			descriptors, contents = append(descriptors, d), append(contents, *c)
		}
	}
	for i, d := range descriptors {
		if err := w.blob(m, d, contents[i], mount.Layer, i, n.claims); err != nil {
			return err
		}
	}
	return nil
}

// child adds a child of the index m and all below it, unless it is a blob: then
// it returns its content.
func (w *walk) child(idx v1.ImageIndex, d v1.Descriptor, m *Manifest, n node) (*content, error) {
	h, err := checked(d)
	if err != nil {
		return nil, &Error{m.Digest, "read index", err}
	}
	at, known := w.manifests[h]
	if !known {
		below := node{h, d.Platform, merge(n.claims, claimed(d.Annotations)), n.depth + 1}
		img, blob, err := w.find(idx, d, &below)
		if blob != nil {
			return blob, nil
		}
		if err == nil {
			at, err = w.visit(img, below)
		}
		switch {
		case missing(err, h):
			at = w.absent(d, below, err)
		case err != nil:
			return nil, err
		}
	}
	if !slices.Contains(m.Children, at) {
		m.Children = append(m.Children, at)
	}
	return nil, nil
}

// find returns what an index names with d: an image or index, or the content of
// a blob. What was found elsewhere adds to what is known of it from above.
func (w *walk) find(idx v1.ImageIndex, d v1.Descriptor, n *node) (Image, *content, error) {
	if img := w.images[n.digest]; img != nil {
		return img, nil, nil
	}
	if f, ok := w.found[n.digest]; ok {
		n.claims = merge(n.claims, []Origin{f.Source})
		return f.image(), nil, nil
	}
	img, blob, err := inside(idx, d)
	if err != nil {
		return nil, nil, &Error{n.digest, "read child of index", err}
	}
	return img, blob, nil
}

// inside returns what an index holds of d.
func inside(idx v1.ImageIndex, d v1.Descriptor) (Image, *content, error) {
	var img Image
	var err error
	switch {
	case d.MediaType.IsSchema1():
		return nil, nil, ErrSchema1
	case d.MediaType.IsImage():
		img, err = idx.Image(d.Digest)
	case d.MediaType.IsIndex():
		img, err = idx.ImageIndex(d.Digest)
	default:
		return other(idx, d)
	}
	if err == nil && img == nil {
		err = ErrNoImage
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMissingChild, reason(err))
	}
	return img, nil, nil
}

// The indexes that hold more than manifests: of package remote and mutate, and
// of package layout.
type (
	withLayer interface {
		Layer(v1.Hash) (v1.Layer, error)
	}
	withBlob interface {
		Blob(v1.Hash) (io.ReadCloser, error)
	}
)

// other returns a child that is neither an image nor an index by its media type:
// a blob, which the OCI image specification lets an index name, or a manifest
// that was given a media type of its own.
func other(idx v1.ImageIndex, d v1.Descriptor) (Image, *content, error) {
	if d.MediaType == artifactManifest {
		return nil, nil, fmt.Errorf("%w: %s", ErrUnsupported, d.MediaType)
	}
	if with, ok := idx.(withLayer); ok {
		if l, err := with.Layer(d.Digest); err == nil {
			c := ofLayer(l, nil, d)
			return nil, &c, nil
		}
	}
	if img, err := idx.Image(d.Digest); err == nil && img != nil {
		return img, nil, nil
	}
	if nested, err := idx.ImageIndex(d.Digest); err == nil && nested != nil {
		return nested, nil, nil
	}
	with, ok := idx.(withBlob)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s", ErrUnsupported, d.MediaType)
	}
	c := content{open: []opener{func() (io.ReadCloser, error) { return with.Blob(d.Digest) }}}.orInline(d)
	return nil, &c, nil
}
