package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	_ "crypto/sha256" // for manifests and blobs with sha256 digests
	_ "crypto/sha512" // for manifests and blobs with sha512 digests

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// head is what image and index manifests have in common.
type head struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
}

// manifest reads the manifest of an image or index without what is below it.
// want is the digest under which a parent names it, empty for the root.
func manifest(img Image, want digest.Digest) (m Manifest, err error) {
	defer func() {
		// A nil pointer in an interface cannot be told from an image otherwise.
		if cause := recover(); cause != nil {
			e, ok := cause.(runtime.Error)
			if !ok || !strings.Contains(e.Error(), " nil ") {
				panic(cause)
			}
			err = &Error{want, "read manifest", fmt.Errorf("%w: %w", ErrNoImage, e)}
		}
	}()
	if img == nil {
		return m, &Error{want, "read manifest", ErrNoImage}
	}
	said, err := img.MediaType()
	if err != nil {
		return m, &Error{want, "read media type", reason(err)}
	}
	if said.IsSchema1() {
		return m, &Error{want, "read manifest", ErrSchema1}
	}
	body, err := img.RawManifest()
	if err != nil {
		return m, &Error{want, "read manifest", reason(err)}
	}
	known, err := img.Digest()
	if err != nil {
		return m, &Error{want, "read digest", reason(err)}
	}
	return identify(body, said, digest.Digest(known.String()), want)
}

// identify returns the manifest with these bytes, which go by the media type
// said, by the digest known and, in an index, by the digest want.
func identify(body []byte, said types.MediaType, known, want digest.Digest) (Manifest, error) {
	m := Manifest{Digest: want, Body: body}
	if want == "" {
		m.Digest = known
	}
	var h head
	for _, err := range []error{verify(body, m.Digest), verify(body, known), parse(body, &h)} {
		if err != nil {
			return m, &Error{m.Digest, "read manifest", err}
		}
	}
	if h.MediaType == "" {
		h.MediaType = said
	}
	if h.SchemaVersion == 1 || h.MediaType.IsSchema1() {
		return m, &Error{m.Digest, "read manifest", ErrSchema1}
	}
	m.MediaType = string(h.MediaType)
	return m, nil
}

// verify says whether body has the digest d.
func verify(body []byte, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrDigest, d, err)
	}
	if got := d.Algorithm().FromBytes(body); got != d {
		return fmt.Errorf("%w: its bytes have %s", ErrDigest, got)
	}
	return nil
}

// parse reads the JSON of a manifest.
func parse(body []byte, into any) error {
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return nil
}

// checked returns the digest of a descriptor that a manifest names content with.
func checked(d v1.Descriptor) (digest.Digest, error) {
	h := digest.Digest(d.Digest.String())
	if err := h.Validate(); err != nil {
		return "", fmt.Errorf("%w: a descriptor without a valid digest (%s)", ErrManifest, d.MediaType)
	}
	if d.Size < 0 {
		return "", fmt.Errorf("%w: %s has a size of %d", ErrManifest, h, d.Size)
	}
	return h, nil
}

// reason adds what an error of go-containerregistry means here.
func reason(err error) error {
	switch {
	case errors.Is(err, stream.ErrNotComputed):
		return fmt.Errorf("%w: %w", ErrStreaming, err)
	case errors.Is(err, remote.ErrSchema1):
		return fmt.Errorf("%w: %w", ErrSchema1, err)
	}
	return err
}
