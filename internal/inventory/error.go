package inventory

import (
	"errors"

	"github.com/opencontainers/go-digest"
)

// What can be wrong with an image. Each comes wrapped in an [*Error].
var (
	// ErrNoImage means that the image is nil, or a nil pointer in an interface.
	ErrNoImage = errors.New("no image")
	// ErrStreaming means that a layer is a stream that has not been read yet: its
	// digest is not known before its bytes are sent (stream.Layer).
	ErrStreaming = errors.New("a layer is a stream whose digest is not known yet")
	// ErrSchema1 means an image manifest of schema version 1, which the
	// distribution specification does not know.
	ErrSchema1 = errors.New("schema 1 manifests are not supported")
	// ErrDigest means that the bytes of a manifest do not have the digest under
	// which it is known.
	ErrDigest = errors.New("the manifest has another digest")
	// ErrManifest means that a manifest cannot be read, or names something that
	// cannot be.
	ErrManifest = errors.New("malformed manifest")
	// ErrSize means that two manifests give the same blob different sizes.
	ErrSize = errors.New("the manifests disagree on the size of a blob")
	// ErrMissingChild means that an index names a manifest that cannot be had from
	// it, as in a sparse index. [Of] does not fail for it: see [Manifest.Absent].
	ErrMissingChild = errors.New("the index does not hold what it names")
	// ErrUnsupported means something that is neither an image, an index nor a blob.
	ErrUnsupported = errors.New("neither an image, an index nor a blob")
	// ErrDepth means that indexes are nested too deeply.
	ErrDepth = errors.New("indexes are nested too deeply")
	// ErrSealed means that the content of a blob cannot be had from the image.
	ErrSealed = errors.New("the image does not hold the content")
)

// Error says what could not be read, and why. Use errors.Is with the errors
// above, or with what go-containerregistry returned, to tell reasons apart.
type Error struct {
	// Digest is of the manifest or blob that the error is about. It is empty when
	// not even that is known.
	Digest digest.Digest
	// What was being done, such as "read manifest".
	What string
	Err  error
}

// Error returns the error as one line of text.
func (e *Error) Error() string {
	s := "inventory: " + e.What
	if e.Digest != "" {
		s += " " + e.Digest.String()
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
