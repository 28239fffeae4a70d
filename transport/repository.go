package transport

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// Repository speaks to one repository of a host. It is immutable and may be
// used by many goroutines at once.
type Repository struct {
	host *Host
	name name.Repository
	wish auth.Scope
	work *Work
}

// Repository returns the repository with the given name. Wish is what the
// requests to come may need beside its own pull and push: the token that is
// asked for first names it all, and whatever the token server does not grant
// is left out.
func (h *Host) Repository(n name.Repository, wish auth.Scope) *Repository {
	return &Repository{host: h, name: n, wish: wish, work: NewWork(h.retry)}
}

// For returns the repository for requests that are part of a work. Without it,
// the requests of a Repository are a work of their own.
func (r *Repository) For(w *Work) *Repository {
	of := *r
	of.work = w
	return &of
}

// path returns the name of the repository without its registry.
func (r *Repository) path() string { return r.name.RepositoryStr() }

// need returns what a request needs: pull for reads, push for all else.
func (r *Repository) need(must auth.Scope) auth.Need {
	own := auth.Push(r.path())
	return auth.Need{Target: r.name, Must: must, Wish: own.Union(r.wish)}
}

// Check asks whether the repository holds the blob d (spec end-2): 200 or 404.
func (r *Repository) Check(ctx context.Context, d digest.Digest) Answer {
	return r.do(ctx, call{
		op: "check blob", request: wire.Request{Kind: wire.BlobHead, Repository: r.path(), Digest: d},
		must: auth.Pull(r.path()), patience: whenUnheard,
	})
}

// Mount asks the registry to link the blob d into the repository (spec
// end-11): from the repository from of the same registry, which may be this
// one, or, with an empty from, from wherever the registry finds it. A 202
// opens a session; it is nil when the answer gave none that can be used.
//
// A mount is repeated only after a rate limit, and at most twice. If no token can be had that may
// read from, nothing is sent and the answer is 401.
func (r *Repository) Mount(ctx context.Context, d digest.Digest, from string) (Answer, *Session) {
	must := auth.Push(r.path())
	if from != "" {
		must = must.Union(auth.Pull(from))
	}
	a := r.do(ctx, call{
		op: "mount blob", request: wire.Request{Kind: wire.Mount, Repository: r.path(), Digest: d, From: from},
		must: must, patience: briefly,
	})
	return a, r.session(a)
}

// Start opens an upload session (spec end-4a). The session is nil when the
// answer gave none that can be used.
func (r *Repository) Start(ctx context.Context, d digest.Digest) (Answer, *Session) {
	req := wire.Request{Kind: wire.UploadStart, Repository: r.path()}
	if d.Algorithm() != digest.SHA256 {
		req.Algorithm = d.Algorithm().String()
	}
	a := r.do(ctx, call{op: "start upload", request: req, digest: d, must: auth.Push(r.path()), patience: whenUnheard})
	return a, r.session(a)
}

// Manifest is a manifest as a registry gave it.
type Manifest struct {
	MediaType string
	Digest    digest.Digest // of Body, by SHA-256, computed here
	Body      []byte
}

// maxManifest bounds how much of a manifest is read. Registries refuse more
// than 4 MiB, some 8 or 10 (olareg, Gitea).
const maxManifest = 16 << 20

// Manifest asks for the manifest behind a tag or digest (spec end-3). It is
// zero when the answer is not 200, or when what came is not what the digest
// names, be it the reference or the answer's Docker-Content-Digest.
func (r *Repository) Manifest(ctx context.Context, reference string) (Answer, Manifest) {
	return r.SourceManifest(ctx, r.path(), reference)
}

// SourceManifest is [Repository.Manifest] of another repository of the same
// registry, read with the credential of this one: what it cannot read it cannot
// mount from.
func (r *Repository) SourceManifest(ctx context.Context, source, reference string) (Answer, Manifest) {
	a := r.do(ctx, call{
		op: "get manifest", request: wire.Request{Kind: wire.ManifestGet, Repository: source, Reference: reference},
		header: acceptManifests(), must: auth.Pull(source), patience: whenUnheard, keep: maxManifest,
	})
	if a.Status != http.StatusOK {
		return a, Manifest{}
	}
	for _, want := range []digest.Digest{digest.Digest(reference), a.Digest} {
		if want.Validate() == nil && want != want.Algorithm().FromBytes(a.body) {
			return a, Manifest{}
		}
	}
	return a, Manifest{MediaType: a.header.Get("Content-Type"), Digest: digest.FromBytes(a.body), Body: a.body}
}

// HasManifest asks whether a tag or digest stands (spec end-3, HEAD).
func (r *Repository) HasManifest(ctx context.Context, reference string) Answer {
	return r.do(ctx, call{
		op: "look at manifest", request: wire.Request{Kind: wire.ManifestHead, Repository: r.path(), Reference: reference},
		header: acceptManifests(), must: auth.Pull(r.path()), patience: whenUnheard,
	})
}

// PutManifest puts a manifest under a tag or digest (spec end-7). With a digest,
// tags are asked to be set as well (parameters tag): [Answer.Tags] says which the
// registry has set. Many ignore them and answer 201 all the same.
func (r *Repository) PutManifest(ctx context.Context, reference, mediaType string, body []byte, tags ...string) Answer {
	return r.put(ctx, reference, body, http.Header{"Content-Type": {mediaType}}, tags)
}

// ReplaceManifest puts a manifest under a tag on the condition that the tag still
// has the entity tag that [Answer.ETag] gave; else the answer is 412. Registries
// that know no conditions put it anyway. An empty etag is no condition.
func (r *Repository) ReplaceManifest(ctx context.Context, tag, mediaType string, body []byte, etag string) Answer {
	h := http.Header{"Content-Type": {mediaType}}
	if etag != "" {
		h.Set("If-Match", etag)
	}
	return r.put(ctx, tag, body, h, nil)
}

// put puts a manifest.
func (r *Repository) put(ctx context.Context, reference string, body []byte, h http.Header, tags []string) Answer {
	return r.do(ctx, call{
		op: "put manifest", request: wire.Request{Kind: wire.ManifestPut, Repository: r.path(), Reference: reference, Tags: tags},
		header: h, digest: digest.FromBytes(body), must: auth.Push(r.path()), patience: whenUnheard, manifest: body,
	})
}

// ETag returns the entity tag of what was read, for [Repository.ReplaceManifest],
// or "". A weak one is no use for that and counts as none.
func (a Answer) ETag() string {
	tag := a.header.Get("ETag")
	if strings.HasPrefix(tag, "W/") {
		return ""
	}
	return tag
}

// Tags asks for at most n tags of the repository (spec end-8b), of which the
// status is what is of use: 404 says that there is no repository.
func (r *Repository) Tags(ctx context.Context, n int) Answer {
	return r.do(ctx, call{
		op: "list tags", request: wire.Request{Kind: wire.TagList, Repository: r.path(), N: n},
		must: auth.Pull(r.path()), patience: whenUnheard,
	})
}

// session returns the session that a 202 opened, or nil.
func (r *Repository) session(a Answer) *Session {
	if a.Status != http.StatusAccepted {
		return nil
	}
	u, err := r.location(a)
	if err != nil {
		r.host.log.Debug("unusable session", "host", r.host.Name(), "repository", r.path(), "err", err)
		return nil
	}
	least, err := strconv.ParseInt(a.header.Get("OCI-Chunk-Min-Length"), 10, 64)
	if err != nil || least < 0 || least > maxChunk {
		least = 0
	}
	return &Session{repository: r, url: u, least: least}
}

// acceptManifests names all media types of manifests.
func acceptManifests() http.Header {
	return http.Header{"Accept": {strings.Join([]string{
		string(types.OCIImageIndex), string(types.OCIManifestSchema1),
		string(types.DockerManifestList), string(types.DockerManifestSchema2),
	}, ", ")}}
}
