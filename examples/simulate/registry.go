package main

import (
	"net/http"

	"github.com/opencontainers/go-digest"
)

// anyMount is what a registry does with a mount that names no source.
type anyMount int

const (
	never      anyMount = iota // 202 whatever it holds
	inTarget                   // 201 when the target holds the blob
	everywhere                 // 201 when any repository holds it
	refused                    // 400
)

// truth is what a registry does, hidden from those who push to it.
type truth struct {
	name   string
	mounts bool // from a named source
	selves bool // answers a mount from the target by what the target holds
	any    anyMount
	missed int  // status of a mount from a source that does not hold the blob
	names  bool // says of a manifest whether its repository exists
}

// truths are registries of every kind that decides how a push should go.
func truths() []truth {
	const open, absent = http.StatusAccepted, http.StatusNotFound
	return []truth{
		{name: "mounts (distribution, Quay)", mounts: true, selves: true, missed: open},
		{name: "discovers (Gitea)", mounts: true, selves: true, any: everywhere, missed: open},
		{name: "discovers (zot)", mounts: true, selves: true, any: everywhere, missed: open, names: true},
		{name: "sees its target (olareg)", mounts: true, selves: true, any: inTarget, missed: open, names: true},
		{name: "sees its target, no mounts", selves: true, any: inTarget, missed: open, names: true},
		{name: "refuses no-from (Quay 2020)", mounts: true, selves: true, any: refused, missed: open},
		{name: "a miss is 404 (cue, pulp)", mounts: true, selves: true, missed: absent},
		{name: "no self-mounts (ECR)", mounts: true, missed: open},
		{name: "mounts nothing (Artifactory)", missed: open},
	}
}

// cost is what was asked of a registry.
type cost struct {
	requests int
	bytes    int64 // of blobs
}

// registry holds blobs and manifests, and counts. Every method that answers a
// client is one request.
type registry struct {
	truth
	cost
	blobs     map[string]map[digest.Digest]bool // by repository
	manifests map[string]image                  // by repository and tag, and by repository and digest
}

func newRegistry(t truth) *registry {
	return &registry{truth: t, blobs: map[string]map[digest.Digest]bool{}, manifests: map[string]image{}}
}

// holds says whether a repository holds a blob. It is not a request.
func (r *registry) holds(repository string, d digest.Digest) bool { return r.blobs[repository][d] }

// holder returns a repository that holds a blob, or "". It is not a request.
func (r *registry) holder(d digest.Digest) string {
	first := ""
	for name, held := range r.blobs {
		if held[d] && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// link puts a blob into a repository. It is not a request.
func (r *registry) link(repository string, d digest.Digest) {
	if r.blobs[repository] == nil {
		r.blobs[repository] = map[digest.Digest]bool{}
	}
	r.blobs[repository][d] = true
}

// request counts requests that say nothing that is not known: a ping, the
// opening of a session, a cancel.
func (r *registry) request(n int) { r.requests += n }

// manifest answers a GET of the manifest behind a tag or a digest. named says
// that the answer speaks of a repository that does not exist.
func (r *registry) manifest(repository, reference string) (img image, found, named bool) {
	r.requests++
	img, found = r.manifests[repository+"@"+reference]
	return img, found, r.names && r.blobs[repository] == nil
}

// tags answers whether the repository has tags.
func (r *registry) tags(repository string) bool {
	r.requests++
	return r.blobs[repository] != nil
}

// head answers a HEAD of a blob.
func (r *registry) head(repository string, d digest.Digest) bool {
	r.requests++
	return r.holds(repository, d)
}

// mount answers a mount with its status: 202 opens a session.
func (r *registry) mount(repository string, d digest.Digest, from string) int {
	r.requests++
	hit, missed := r.mounts && r.holds(from, d), r.missed
	switch {
	case from == repository:
		hit = r.selves && r.holds(repository, d)
	case from == "" && r.any == refused:
		return http.StatusBadRequest
	case from == "":
		hit = r.any >= inTarget && r.holds(repository, d) || r.any == everywhere && r.holder(d) != ""
		missed = http.StatusAccepted
	}
	if !hit {
		return missed
	}
	r.link(repository, d)
	return http.StatusCreated
}

// upload takes the bytes of a blob in a session that is open: in one PUT, or in
// a PATCH and an empty PUT.
func (r *registry) upload(repository string, b blob, requests int) {
	r.requests += requests
	r.bytes += b.Size
	r.link(repository, b.Digest)
}

// put takes a manifest under a tag. It panics when a blob is missing: no client
// may leave one out.
func (r *registry) put(repository, tag string, img image) {
	r.requests++
	for _, b := range img.blobs {
		if !r.holds(repository, b.Digest) {
			panic("a blob is missing in " + repository)
		}
	}
	r.keep(repository, tag, img)
}

// keep notes a manifest, and that the repository exists. It is not a request.
func (r *registry) keep(repository, tag string, img image) {
	r.manifests[repository+"@"+tag] = img
	r.manifests[repository+"@"+string(img.digest)] = img
}
