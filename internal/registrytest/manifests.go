package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// manifest is a manifest as it was put.
type manifest struct {
	mediaType string
	body      []byte
}

// getManifest answers GET and HEAD of a manifest.
func (c *call) getManifest() {
	if c.r.Method == http.MethodHead && c.b.ManifestHeadStatus != 0 {
		c.failStatus(c.b.ManifestHeadStatus, "no HEAD of manifests")
		return
	}
	c.reg.mu.Lock()
	_, exists := c.reg.repos[c.req.Repository]
	d, m, ok := c.reg.lookup(c.req.Repository).manifest(c.req.Reference)
	c.reg.mu.Unlock()
	switch {
	case ok:
		c.w.Header().Set("Content-Type", m.mediaType)
		c.setDigest(d)
		if c.b.ManifestETags {
			c.w.Header().Set("ETag", entityTag(d))
		}
		c.write(http.StatusOK, m.body)
	case !exists && c.b.ManifestGetUnknownName:
		c.unknownName()
	default:
		c.failWith(http.StatusNotFound, wire.CodeManifestUnknown, "manifest unknown")
	}
}

func (c *call) unknownName() {
	c.fail(http.StatusNotFound, wire.Error{
		Code:    wire.CodeNameUnknown,
		Message: "repository name not known to registry",
		Detail:  fmt.Sprintf(`{"name":%q}`, c.req.Repository),
	})
}

// putManifest stores a manifest, after checking it.
func (c *call) putManifest() {
	body, ok := c.readBody(c.b.ManifestLimit)
	if !ok {
		return
	}
	kind := mediaType(c.r.Header)
	doc, err := parseManifest(kind, body)
	if err != nil {
		c.failWith(http.StatusBadRequest, wire.CodeManifestInvalid, err.Error())
		return
	}
	d, tags, ok := c.names(body)
	if !ok || c.refuseEventual() || c.refuseMissing(doc) || c.refuseMoved(tags, d) {
		return
	}
	c.reg.mu.Lock()
	repo := c.reg.repository(c.req.Repository)
	if !c.unchanged(repo) {
		c.reg.mu.Unlock()
		c.failWith(http.StatusPreconditionFailed, wire.CodeUnknown, "the manifest has changed")
		return
	}
	repo.manifests[d] = manifest{mediaType: kind, body: body}
	for _, tag := range tags {
		repo.tags[tag] = d
	}
	c.reg.mu.Unlock()
	c.manifestCreated(d, tags, doc)
}

// entityTag is the ETag of a manifest.
func entityTag(d digest.Digest) string { return `"` + d.String() + `"` }

// unchanged reports whether the condition of a PUT holds. The caller holds Registry.mu.
func (c *call) unchanged(repo *repository) bool {
	want := c.r.Header.Get("If-Match")
	if !c.b.ManifestETags || want == "" {
		return true
	}
	d, _, ok := repo.manifest(c.req.Reference)
	return ok && want == entityTag(d)
}

// names gives the digest and the tags under which the manifest is to be stored. ok is false when they do
// not fit, which has been answered then.
func (c *call) names(body []byte) (d digest.Digest, tags []string, ok bool) {
	given := digest.Digest(c.req.Reference)
	switch byTag := given.Validate() != nil; {
	case byTag && c.b.TagParams && len(c.req.Tags) > 0:
		c.failWith(http.StatusBadRequest, wire.CodeUnsupported, "tag parameters go with a digest")
		return "", nil, false
	case byTag:
		return digest.FromBytes(body), []string{c.req.Reference}, true
	}
	if d = given.Algorithm().FromBytes(body); d != given {
		c.failWith(http.StatusBadRequest, wire.CodeDigestInvalid, "provided digest did not match uploaded content")
		return "", nil, false
	}
	if !c.b.TagParams {
		return d, nil, true
	}
	tags = slices.Clone(c.req.Tags)
	if c.b.TagParamsMax > 0 {
		tags = tags[:min(len(tags), c.b.TagParamsMax)]
	}
	return d, tags, true
}

func (c *call) manifestCreated(d digest.Digest, tags []string, doc document) {
	if c.b.TagParams && len(c.req.Tags) > 0 || c.b.TagHeader {
		for _, tag := range tags {
			c.w.Header().Add("OCI-Tag", tag)
		}
	}
	if c.b.Subject && doc.Subject != nil {
		c.w.Header().Set("OCI-Subject", doc.Subject.Digest.String())
	}
	if !c.b.CreatedWithoutLocation {
		c.w.Header().Set("Location", "/v2/"+c.req.Repository+"/manifests/"+d.String())
	}
	c.setDigest(d)
	c.reply(http.StatusCreated)
}

// refuseEventual answers as a registry that does not see its latest uploads yet.
func (c *call) refuseEventual() bool {
	c.reg.mu.Lock()
	repo := c.reg.lookup(c.req.Repository)
	refuse := repo.uploads > 0 && repo.refused < c.b.EventualManifest
	if refuse {
		repo.refused++
	}
	c.reg.mu.Unlock()
	if refuse {
		c.failWith(http.StatusNotFound, wire.CodeBlobUnknown, "unknown blob")
	}
	return refuse
}

// refuseMoved answers 400 when a tag that exists would move and must not.
func (c *call) refuseMoved(tags []string, to digest.Digest) bool {
	if !c.b.ImmutableTags {
		return false
	}
	c.reg.mu.Lock()
	repo := c.reg.lookup(c.req.Repository)
	i := slices.IndexFunc(tags, func(tag string) bool {
		at, ok := repo.tags[tag]
		return ok && at != to
	})
	c.reg.mu.Unlock()
	if i < 0 {
		return false
	}
	c.failWith(http.StatusBadRequest, wire.CodeTagInvalid,
		fmt.Sprintf("the tag '%s' already exists and cannot be overwritten because it is immutable", tags[i]))
	return true
}

// refuseMissing answers when the repository does not hold all that the manifest names.
func (c *call) refuseMissing(doc document) bool {
	if c.b.MissingBlobs == MissingUnchecked {
		return false
	}
	c.reg.mu.Lock()
	repo := c.reg.lookup(c.req.Repository)
	var missing []piece
	for _, p := range doc.pieces() {
		if !c.found(repo, p) {
			missing = append(missing, p)
		}
	}
	c.reg.mu.Unlock()
	if len(missing) == 0 {
		return false
	}
	c.failMissing(missing)
	return true
}

// found reports whether a piece of a manifest may be taken as present. The caller holds Registry.mu.
func (c *call) found(repo *repository, p piece) bool {
	if repo.holds(p) {
		return true
	}
	if !c.b.GlobalBlobs {
		return false
	}
	_, ok := c.reg.anywhere(p.Digest)
	return ok
}

// failMissing says which pieces are missing, or merely that some are.
func (c *call) failMissing(missing []piece) {
	var errs []wire.Error
	var digests []string
	for _, p := range missing {
		digests = append(digests, p.Digest.String())
		e := wire.Error{Code: wire.CodeManifestBlobUnknown, Message: "blob unknown to registry", Detail: fmt.Sprintf("%q", p.Digest)}
		if c.b.MissingBlobs == MissingNamedInText {
			e.Detail = fmt.Sprintf("%q", p.role+" not found: "+p.Digest.String())
		}
		errs = append(errs, e)
	}
	switch c.b.MissingBlobs {
	case MissingUnnamed:
		c.fail(http.StatusBadRequest, wire.Error{
			Code:    wire.CodeManifestInvalid,
			Message: "manifest invalid",
			Detail:  fmt.Sprintf(`{"reference":%q}`, c.req.Reference),
		})
	case MissingUploadUnknown:
		c.failWith(http.StatusBadRequest, wire.CodeBlobUploadUnknown,
			"Layers with digests '["+strings.Join(digests, ", ")+"]' do not exist")
	case MissingNotFound:
		c.failWith(http.StatusNotFound, wire.CodeBlobUnknown, "unknown blob")
	case MissingInternal:
		c.failWith(http.StatusInternalServerError, wire.CodeUnknown, "internal error")
	default:
		c.fail(http.StatusBadRequest, errs...)
	}
}

// deleteManifest removes a tag, or a manifest with all its tags.
func (c *call) deleteManifest() {
	c.drain()
	c.reg.mu.Lock()
	repo := c.reg.lookup(c.req.Repository)
	d, _, ok := repo.manifest(c.req.Reference)
	if _, isTag := repo.tags[c.req.Reference]; isTag {
		delete(repo.tags, c.req.Reference)
	} else {
		delete(repo.manifests, d)
		for tag, at := range repo.tags {
			if at == d {
				delete(repo.tags, tag)
			}
		}
	}
	c.reg.mu.Unlock()
	if !ok {
		c.failWith(http.StatusNotFound, wire.CodeManifestUnknown, "manifest unknown")
		return
	}
	c.reply(http.StatusAccepted)
}
