package images

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The media type and content of a config that says nothing.
const (
	emptyType    = "application/vnd.oci.empty.v1+json"
	emptyContent = "{}"
)

// artifact is a manifest that refers to another, with one blob.
type artifact struct {
	manifest []byte
	blob     v1.Layer
}

// Artifact returns an artifact of a kind that holds content and refers to subject,
// as the image specification recommends: its config is empty.
func Artifact(kind, content string, subject v1.Descriptor) (v1.Image, error) {
	blob, err := content2layer([]byte(content), []byte(content))
	if err != nil {
		return nil, err
	}
	d, err := partial.Descriptor(blob)
	if err != nil {
		return nil, err
	}
	config, size, err := v1.SHA256(bytes.NewReader([]byte(emptyContent)))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: kind,
		Config: v1.Descriptor{MediaType: emptyType, Digest: config, Size: size},
		Layers: []v1.Descriptor{*d}, Subject: &subject,
		Annotations: map[string]string{"org.example.content": content},
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&artifact{text, blob})
}

// RawConfigFile returns the empty config.
func (a *artifact) RawConfigFile() ([]byte, error) { return []byte(emptyContent), nil }

// MediaType returns that of the manifest.
func (a *artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// RawManifest returns the manifest.
func (a *artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

// LayerByDigest returns the blob.
func (a *artifact) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if d, err := a.blob.Digest(); err != nil || d != h {
		return nil, fmt.Errorf("no blob %s", h)
	}
	return a.blob, nil
}
