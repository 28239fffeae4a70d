package push

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/transport"
)

// The sizes of what a probe sends, in bytes.
const (
	probeSize = 512
	// cutSize is the blob whose upload is broken off at cutAt. It is large enough
	// for some of it to be on the wire by then.
	cutSize, cutAt = 128 << 10, 96 << 10
	// maxLeast is the largest OCI-Chunk-Min-Length with which parts are tried.
	maxLeast = 64 << 10
)

// content is a blob that nobody has: an image configuration with random bytes in
// a label, so that registries which read configurations take it too.
type content struct {
	digest digest.Digest
	data   []byte
}

// newContent returns content of about the given size.
func newContent(size int) content {
	random := make([]byte, size/2)
	rand.Read(random) // never fails
	var c struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Config       struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
		RootFS struct {
			Type    string          `json:"type"`
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	c.Architecture, c.OS = "amd64", "linux"
	c.Config.Labels = map[string]string{"probe": hex.EncodeToString(random)}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []digest.Digest{digest.FromBytes(random)}
	data := encode(c)
	return content{digest.FromBytes(data), data}
}

// encode returns v, which can be encoded, as JSON.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("push: " + err.Error())
	}
	return data
}

// body returns the content for an upload.
func (c content) body() transport.Body {
	return transport.Body{Size: int64(len(c.data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(c.data)), nil
	}}
}

// errCut breaks an upload off.
var errCut = errors.New("cut on purpose")

// broken returns the content for an upload that breaks off after n bytes.
func (c content) broken(n int) transport.Body {
	body := c.body()
	body.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(c.data[:n]), failing{})), nil
	}
	return body
}

// failing is a reader that fails.
type failing struct{}

// Read fails.
func (failing) Read([]byte) (int, error) { return 0, errCut }

// descriptor names something in a manifest.
type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int           `json:"size"`
}

// manifestOf returns a manifest that names c as its configuration and its only
// layer, with a subject if there is one.
func manifestOf(c content, subject *descriptor) content {
	data := encode(struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
		Subject       *descriptor  `json:"subject,omitempty"`
	}{
		2, string(types.OCIManifestSchema1),
		descriptor{string(types.OCIConfigJSON), c.digest, len(c.data)},
		[]descriptor{{string(types.OCIUncompressedLayer), c.digest, len(c.data)}}, subject,
	})
	return content{digest.FromBytes(data), data}
}
