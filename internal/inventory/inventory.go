package inventory

import (
	"bytes"
	"fmt"
	"io"

	"github.com/crossmount/crossmount/mount"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Image is what [Of] reads: a v1.Image or a v1.ImageIndex, whatever wraps it.
type Image interface {
	MediaType() (types.MediaType, error)
	Digest() (v1.Hash, error)
	RawManifest() ([]byte, error)
}

// Inventory is what an image is made of. It does not change. Its methods, and
// those of what it holds, may be used by many goroutines at once, as far as the
// layers of the image may.
type Inventory struct {
	// Blobs has each digest once, in the order of the manifests that name it
	// first; within a manifest the layers from the bottom up, then the config.
	Blobs []Blob
	// Manifests has each digest once, children before their parents and the root
	// last. It is never empty.
	Manifests []Manifest

	root   Image                   // what was read
	images map[digest.Digest]Image // the children that could be read
}

// Root returns the manifest of the image itself: the one that a tag names.
func (i *Inventory) Root() Manifest { return i.Manifests[len(i.Manifests)-1] }

// Blob is a layer, a config, or content that an index names directly. What
// the planner needs of it is in the embedded [mount.Blob]:
//
//   - Image is an index in Inventory.Manifests, and Position counts the layers of
//     that manifest from 0 at the bottom; the config comes after the last.
//   - External is set if every manifest gives the blob a non-distributable media
//     type. Whether such a layer stays where it is, is the pusher's to decide.
//   - Sealed is set if nothing holds the content. It may be unset although [Blob.Open]
//     will fail, since content is not looked for before it is needed.
type Blob struct {
	mount.Blob
	// Descriptor is how the first manifest that names the blob describes it.
	Descriptor v1.Descriptor
	// From is where the blob may be, best belief first, each repository once.
	From []Origin

	open   []opener // tried in turn
	sealed error    // why nothing is in open
	config *readConfig
}

// Open returns the compressed bytes: those that the digest is of. Each call
// opens them anew, but for a config that was read already. They are not verified,
// and closing is up to the caller. The error is an [*Error], of ErrSealed if the
// image does not hold the content, else what the layer itself said.
func (b Blob) Open() (io.ReadCloser, error) {
	if content := b.config.content.Load(); content != nil {
		return io.NopCloser(bytes.NewReader(*content)), nil
	}
	return b.openAnew()
}

// openAnew is Open for content that was not read before.
func (b Blob) openAnew() (io.ReadCloser, error) {
	var failed error
	for _, open := range b.open {
		rc, err := open()
		switch {
		case err == nil:
			return rc, nil
		case failed == nil:
			failed = err
		default:
			failed = fmt.Errorf("%w; %w", failed, err)
		}
	}
	if failed == nil {
		failed = fmt.Errorf("%w: %w", ErrSealed, b.sealed)
	}
	return nil, &Error{b.Digest, "open blob", failed}
}

// Origin is a repository that may hold a blob.
type Origin struct {
	// Registry is the host, with the port if it was given, as name.Registry has
	// it: Docker Hub is index.docker.io. Annotations that containerd wrote never
	// have a port.
	Registry string
	// Repository is the path, without the registry.
	Repository string
	// Belief is Remembered if the layer was pulled from there, Claimed if an
	// annotation says so, Confirmed if a manifest that names it was found there.
	Belief mount.Belief
}

// Manifest is an image manifest or an index.
type Manifest struct {
	Digest digest.Digest
	// MediaType is what the manifest says of itself, else what the image says.
	MediaType string
	// Body is the manifest itself. It must not be changed. It is nil for one that is
	// absent.
	Body []byte
	// Absent is why the image does not hold the manifest, though an index in it
	// names it: a sparse index. Then nothing is known of what is below. It is nil
	// for all others, and never set for the root.
	Absent error
	// From is where an absent manifest may be, by annotations.
	From []Origin
	// Blobs are the indexes in Inventory.Blobs of all that it names, each once,
	// the non-distributable ones too.
	Blobs []int
	// Children are the indexes in Inventory.Manifests of all that it names, each
	// once.
	Children []int
	// Platform is what the index says of its child, or nil.
	Platform *v1.Platform
	// Base is what the image was built on, or nil.
	Base *Base
	// Subject is the manifest that this one refers to, by the field subject of the
	// OCI image specification 1.1, or "". Manifests of Docker have none.
	Subject digest.Digest
	// ArtifactType is what kind of thing refers to the subject: the artifactType of
	// the manifest, else, for an image, the media type of its config.
	ArtifactType string
	// Annotations of the manifest.
	Annotations map[string]string
}

// Base is the image that another one was built on, by the annotations
// org.opencontainers.image.base.name and .digest of the OCI image specification.
type Base struct {
	// Registry and Repository say where it is, in the form of [Origin]. They are
	// empty if no name is given.
	Registry, Repository string
	// Reference is the tag or digest in its name ("latest" if it has none).
	Reference string
	// Digest is of its manifest. It is empty if none is given.
	Digest digest.Digest
}
