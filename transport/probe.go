package transport

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// The requests here are those that a push does not make. They show what kind of
// registry a host is, or clean up.

// Single sends a blob in the POST that would open a session (spec end-4b): 201.
// A registry that does not know this form wastes the content and opens a
// session, which is returned (202: distribution). It is repeated only after a
// rate limit.
func (r *Repository) Single(ctx context.Context, d digest.Digest, body Body) (Answer, *Session) {
	a := r.do(ctx, call{
		op: "post blob", request: wire.Request{Kind: wire.UploadSingle, Repository: r.path(), Digest: d}, digest: d,
		header: octets(), body: &body, blob: max(body.Size, 1), must: auth.Push(r.path()), patience: whenLimited,
	})
	return a, r.session(a)
}

// PutTagged puts a manifest under its digest, by SHA-256, and asks for tags in
// the same request (spec end-7, tag=). Those that the registry says it has set
// are in [Answer.Tags]; one that does not know the parameter ignores it. It is
// repeated only after a rate limit: what a registry answers to a manifest that
// it refuses may be a 500 (cue).
func (r *Repository) PutTagged(ctx context.Context, mediaType string, body []byte, tags ...string) Answer {
	d := digest.FromBytes(body)
	return r.do(ctx, call{
		op: "put manifest", digest: d, manifest: body,
		request: wire.Request{Kind: wire.ManifestPut, Repository: r.path(), Reference: d.String(), Tags: tags},
		header:  http.Header{"Content-Type": {mediaType}}, must: auth.Push(r.path()), patience: whenLimited,
	})
}

// Referrers asks which manifests have d as their subject (spec end-12a). A
// registry without that API answers 404.
func (r *Repository) Referrers(ctx context.Context, d digest.Digest) (Answer, []digest.Digest) {
	a := r.do(ctx, call{
		op: "list referrers", request: wire.Request{Kind: wire.Referrers, Repository: r.path(), Digest: d},
		must: auth.Pull(r.path()), patience: whenUnheard, keep: maxManifest,
	})
	var list struct {
		Manifests []struct {
			Digest digest.Digest `json:"digest"`
		} `json:"manifests"`
	}
	if a.Status != http.StatusOK || json.Unmarshal(a.body, &list) != nil {
		return a, nil
	}
	var found []digest.Digest
	for _, m := range list.Manifests {
		found = append(found, m.Digest)
	}
	return a, found
}

// DeleteBlob takes the blob d out of the repository (spec end-10): 202, 404 when
// it was not there, 405 where blobs cannot be deleted. It needs the action
// "delete", which a token for a push does not grant.
func (r *Repository) DeleteBlob(ctx context.Context, d digest.Digest) Answer {
	return r.do(ctx, call{
		op: "delete blob", request: wire.Request{Kind: wire.BlobDelete, Repository: r.path(), Digest: d},
		must: remove(r.path()), patience: whenUnheard,
	})
}

// DeleteManifest deletes a tag, or a manifest by its digest (spec end-9). It
// needs the action "delete", like DeleteBlob.
func (r *Repository) DeleteManifest(ctx context.Context, reference string) Answer {
	return r.do(ctx, call{
		op: "delete manifest", request: wire.Request{Kind: wire.ManifestDelete, Repository: r.path(), Reference: reference},
		must: remove(r.path()), patience: whenUnheard,
	})
}

// remove is the scope to delete what a repository holds.
func remove(repository string) auth.Scope {
	return auth.ParseScope("repository:" + repository + ":delete")
}

// Least returns the least size in bytes of a chunk but for the last, as the
// answer that opened the session gave it (OCI-Chunk-Min-Length); 0 for none.
func (s *Session) Least() int64 { return s.least }

// Part sends the bytes of the content from offset from up to offset to, which is
// not among them, in one PATCH (spec end-5). The parts before must stand.
func (s *Session) Part(ctx context.Context, d digest.Digest, body Body, from, to int64) Answer {
	content := &stream{digest: d, body: body}
	defer content.close()
	if err := content.open(ctx, from); err != nil {
		return s.repository.answer(call{op: "upload part", digest: d}).unsent(&sending{}, err)
	}
	take := func() (*checkedBody, error) { return content.take(ctx, from) }
	header := octets()
	header.Set("Content-Range", wire.FormatContentRange(from, to-1))
	a := s.send(ctx, call{
		op: "upload part", method: http.MethodPatch, url: s.url, digest: d, header: header, part: &part{take, to - from},
	})
	return s.followed(a)
}

// Finish closes the session with an empty PUT (spec end-6).
func (s *Session) Finish(ctx context.Context, d digest.Digest) Answer { return s.close(ctx, d, 0) }

// Stands asks the session how many bytes it has taken (spec end-13). ok is false
// when the answer does not say.
func (s *Session) Stands(ctx context.Context) (a Answer, offset int64, ok bool) {
	a = s.send(ctx, call{op: "ask upload", method: http.MethodGet, url: s.url})
	if !a.OK() {
		return a, 0, false
	}
	offset, ok = wire.ParseRange(a.header.Get("Range"))
	return s.followed(a), offset, ok
}

// followed goes on at the Location of an answer that went well. An answer whose
// Location may not be followed counts as none.
func (s *Session) followed(a Answer) Answer {
	if !a.OK() {
		return a
	}
	if err := s.follow(a); err != nil {
		a.Status, a.Err = 0, err
	}
	return a
}

// Location is the form of a Location header. What is in it is not told: it may
// hold a signature.
type Location struct {
	// Given says that there was one that is a URL.
	Given bool
	// Relative says that it is a path without scheme and host.
	Relative bool
	// Foreign says that it leads to another scheme, host or port.
	Foreign bool
	// Query says that it has one.
	Query bool
}

// Location returns the form of the answer's Location header.
func (a Answer) Location() Location {
	text := a.header.Get("Location")
	u, err := url.Parse(text)
	if err != nil || text == "" || a.url == nil {
		return Location{}
	}
	to := a.url.ResolveReference(u)
	return Location{
		Given: true, Relative: u.Scheme == "" && u.Host == "", Query: u.RawQuery != "",
		Foreign: to.Scheme != a.url.Scheme || authority(to) != authority(a.url),
	}
}

// Subject returns the digest that the registry says is the subject of a manifest
// that was put (OCI-Subject); "" when it says none, which means that it keeps no
// list of referrers (spec, "Pushing Manifests with Subject").
func (a Answer) Subject() digest.Digest {
	d, err := digest.Parse(a.header.Get("OCI-Subject"))
	if err != nil {
		return ""
	}
	return d
}
