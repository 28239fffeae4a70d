package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// listTags answers GET tags/list, in pages when n= asks for them.
func (c *call) listTags() {
	c.reg.mu.Lock()
	repo, ok := c.reg.repos[c.req.Repository]
	var tags []string
	if ok {
		tags = repo.tagNames()
	}
	c.reg.mu.Unlock()
	if !ok {
		c.unknownName()
		return
	}
	if c.req.Last != "" {
		tags = slices.DeleteFunc(tags, func(tag string) bool { return tag <= c.req.Last })
	}
	switch n := c.req.N; {
	case n < 0:
		tags = []string{}
	case n > 0 && len(tags) > n:
		tags = tags[:n]
		next := url.Values{"n": {fmt.Sprint(n)}, "last": {tags[n-1]}}
		c.w.Header().Set("Link", fmt.Sprintf(`</v2/%s/tags/list?%s>; rel="next"`, c.req.Repository, next.Encode()))
	}
	c.json(http.StatusOK, "application/json", map[string]any{"name": c.req.Repository, "tags": tags})
}

// listReferrers answers GET referrers/<digest>.
func (c *call) listReferrers() {
	if !c.b.Subject {
		c.failWith(http.StatusNotFound, wire.CodeUnsupported, "page not found")
		return
	}
	c.reg.mu.Lock()
	repo := c.reg.lookup(c.req.Repository)
	list := []map[string]any{}
	digests := make([]digest.Digest, 0, len(repo.manifests))
	for d := range repo.manifests {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	for _, d := range digests {
		if entry := referrer(d, repo.manifests[d], c.req.Digest); entry != nil {
			list = append(list, entry)
		}
	}
	c.reg.mu.Unlock()
	if want := c.req.ArtifactType; want != "" {
		list = slices.DeleteFunc(list, func(entry map[string]any) bool { return entry["artifactType"] != want })
		c.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	c.json(http.StatusOK, ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": list})
}

// referrer is the list entry of a manifest whose subject is the one asked for, else nil.
func referrer(d digest.Digest, m manifest, subject digest.Digest) map[string]any {
	var doc document
	if json.Unmarshal(m.body, &doc) != nil || doc.Subject == nil || doc.Subject.Digest != subject {
		return nil
	}
	kind := doc.ArtifactType
	if kind == "" && doc.Config != nil {
		kind = doc.Config.MediaType
	}
	entry := map[string]any{"mediaType": m.mediaType, "digest": d, "size": len(m.body), "artifactType": kind}
	if len(doc.Annotations) > 0 {
		entry["annotations"] = doc.Annotations
	}
	return entry
}
