package registrytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The manifest media types that the registry takes.
const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// document is a manifest or index as far as a registry reads it.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	URLs      []string      `json:"urls"`
}

// piece is something that a manifest needs in its repository.
type piece struct {
	descriptor
	role string // "config", "layer" or "manifest"
}

// parseManifest reads and checks a manifest on its own.
func parseManifest(mediaType string, body []byte) (document, error) {
	var doc document
	if !isManifest(mediaType) {
		return doc, fmt.Errorf("unknown media type %q", mediaType)
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, fmt.Errorf("the manifest is not JSON: %w", err)
	}
	switch {
	case doc.SchemaVersion != 2:
		return doc, errors.New("the schemaVersion is not 2")
	case doc.MediaType != "" && doc.MediaType != mediaType:
		return doc, fmt.Errorf("the mediaType %q is not the Content-Type %q", doc.MediaType, mediaType)
	case isIndex(mediaType) && (doc.Config != nil || len(doc.Layers) > 0):
		return doc, errors.New("an index has no config and no layers")
	case !isIndex(mediaType) && doc.Config == nil:
		return doc, errors.New("the config is missing")
	case !isIndex(mediaType) && len(doc.Manifests) > 0:
		return doc, errors.New("an image manifest has no manifests")
	}
	for _, p := range doc.pieces() {
		if err := p.Digest.Validate(); err != nil {
			return doc, fmt.Errorf("a %s has no valid digest: %w", p.role, err)
		}
	}
	return doc, nil
}

// pieces are the children of an index, or the config and layers of an image, without those that are not
// to be pushed: non-distributable layers, and descriptors that say where else the content is.
func (doc document) pieces() []piece {
	var all []piece
	add := func(role string, descriptors ...descriptor) {
		for _, d := range descriptors {
			if len(d.URLs) == 0 && !isNondistributable(d.MediaType) {
				all = append(all, piece{d, role})
			}
		}
	}
	if doc.Config != nil {
		add("config", *doc.Config)
	}
	add("layer", doc.Layers...)
	add("manifest", doc.Manifests...)
	return all
}

// holds reports whether the repository holds a piece: a child manifest as a manifest, all else as a blob.
func (repo *repository) holds(p piece) bool {
	if isManifest(p.MediaType) {
		_, ok := repo.manifests[p.Digest]
		return ok
	}
	_, ok := repo.blobs[p.Digest]
	return ok
}

// references reports whether some manifest of the repository names the blob.
func (repo *repository) references(d digest.Digest) bool {
	for _, m := range repo.manifests {
		var doc document
		if json.Unmarshal(m.body, &doc) != nil {
			continue
		}
		for _, p := range doc.pieces() {
			if p.Digest == d {
				return true
			}
		}
	}
	return false
}

func isManifest(mediaType string) bool {
	return mediaType == ociManifest || mediaType == dockerManifest || isIndex(mediaType)
}

func isIndex(mediaType string) bool {
	return mediaType == ociIndex || mediaType == dockerList
}

func isNondistributable(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.nondistributable.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.foreign.")
}

// Complete checks that what reference names stands in the repository, as a pull would need it: the
// manifest, every child manifest and every blob of it, at any depth, each with the content of its digest
// and the size of its descriptor. Non-distributable layers and descriptors with urls are not needed. The
// error names the first thing that is missing or wrong.
func (r *Registry) Complete(repo, reference string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.lookup(repo)
	d, m, ok := in.manifest(reference)
	if !ok {
		return fmt.Errorf("%s has no manifest %s", repo, reference)
	}
	if err := in.complete(d, m, 0); err != nil {
		return fmt.Errorf("%s %s: %w", repo, reference, err)
	}
	return nil
}

// maxDepth bounds indexes of indexes.
const maxDepth = 16

func (repo *repository) complete(d digest.Digest, m manifest, depth int) error {
	if depth > maxDepth {
		return errors.New("indexes are nested too deep")
	}
	if d.Algorithm().FromBytes(m.body) != d {
		return fmt.Errorf("manifest %s has other content", d)
	}
	doc, err := parseManifest(m.mediaType, m.body)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d, err)
	}
	for _, p := range doc.pieces() {
		if !repo.holds(p) {
			return fmt.Errorf("%s %s is missing", p.role, p.Digest)
		}
		if child, ok := repo.manifests[p.Digest]; ok && isManifest(p.MediaType) {
			if err := repo.complete(p.Digest, child, depth+1); err != nil {
				return err
			}
			continue
		}
		b := repo.blobs[p.Digest]
		switch {
		case b.size != p.Size:
			return fmt.Errorf("%s %s has %d bytes, its descriptor says %d", p.role, p.Digest, b.size, p.Size)
		case !b.discarded && p.Digest.Algorithm().FromBytes(b.data) != p.Digest:
			return fmt.Errorf("%s %s has other content", p.role, p.Digest)
		}
	}
	return nil
}
