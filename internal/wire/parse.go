package wire

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ParseError says why a method and URL are no request of the API.
type ParseError struct {
	Method string
	Path   string // without the query
	Code   Code   // what a registry would answer: NAME_INVALID, DIGEST_INVALID, TAG_INVALID, UNSUPPORTED …
	Status int    // the HTTP status that goes with Code: 400, 404 or 405
}

// Error names the method, the path and the code.
func (e *ParseError) Error() string {
	return fmt.Sprintf("wire: %q %q: %s (%d)", e.Method, e.Path, e.Code, e.Status)
}

// Parse is the inverse of Method and URL: for every request r that it returns, Parse of r's method and
// URL gives r again.
//
// It is strict about names, digests and tags, as the specification gives them, and ignores unknown query
// parameters. Parameters with an empty value count as absent, except tag= and digest=. The path of an
// upload session may also be .../blobs/upload/<id>, the form that ghcr.io hands out. The error is a
// *ParseError.
func Parse(method string, u *url.URL) (Request, error) {
	p := parser{method: method, url: u}
	r, code, status := p.parse()
	if code != "" {
		return Request{}, &ParseError{Method: method, Path: u.Path, Code: code, Status: status}
	}
	return r, nil
}

// parser holds the input of one Parse. Its methods return a request, or a code and a status.
type parser struct {
	method string
	url    *url.URL
}

func (p parser) parse() (Request, Code, int) {
	rest, ok := strings.CutPrefix(p.url.Path, "/v2")
	if !ok || rest != "" && rest[0] != '/' {
		return Request{}, CodeUnsupported, http.StatusNotFound
	}
	if rest == "" || rest == "/" {
		return p.pick(Request{}, Ping)
	}
	segments := strings.Split(rest[1:], "/")
	r, code, status := p.endpoint(segments)
	if code == "" && !validName(r.Repository) {
		return Request{}, CodeNameInvalid, http.StatusBadRequest
	}
	return r, code, status
}

// endpoint reads the path from its end, because the words of the API may occur in repository names too.
func (p parser) endpoint(s []string) (Request, Code, int) {
	last := len(s) - 1
	at := func(back int) string {
		if back > last {
			return ""
		}
		return s[last-back]
	}
	name := func(used int) string {
		return strings.Join(s[:max(len(s)-used, 0)], "/")
	}
	uploads := func(word string) bool { return word == "uploads" || word == "upload" }
	switch {
	case at(1) == "blobs" && at(0) == "uploads":
		return p.start(name(2))
	case at(2) == "blobs" && uploads(at(1)) && at(0) == "":
		return p.start(name(3))
	case at(2) == "blobs" && uploads(at(1)):
		return p.session(name(3), at(0))
	case at(1) == "blobs":
		return p.digest(name(2), at(0), BlobGet, BlobHead, BlobDelete)
	case at(1) == "manifests":
		return p.manifest(name(2), at(0))
	case at(1) == "referrers":
		return p.digest(name(2), at(0), Referrers)
	case at(1) == "tags" && at(0) == "list":
		return p.tags(name(2))
	}
	return Request{}, CodeUnsupported, http.StatusNotFound
}

// pick gives r the one of kinds that has the method, else 405.
func (p parser) pick(r Request, kinds ...Kind) (Request, Code, int) {
	for _, kind := range kinds {
		if kind.method() == p.method {
			r.Kind = kind
			return r, "", 0
		}
	}
	return Request{}, CodeUnsupported, http.StatusMethodNotAllowed
}

// digest reads the endpoints that end in a digest.
func (p parser) digest(repository, text string, kinds ...Kind) (Request, Code, int) {
	if !validDigest(text) {
		return Request{}, CodeDigestInvalid, http.StatusBadRequest
	}
	r := Request{Repository: repository, Digest: digest.Digest(text)}
	if kinds[0] == Referrers {
		r.ArtifactType = p.url.Query().Get("artifactType")
	}
	return p.pick(r, kinds...)
}

func (p parser) manifest(repository, reference string) (Request, Code, int) {
	if !validTag(reference) && !validDigest(reference) {
		if strings.Contains(reference, ":") {
			return Request{}, CodeDigestInvalid, http.StatusBadRequest
		}
		return Request{}, CodeTagInvalid, http.StatusBadRequest
	}
	r := Request{Repository: repository, Reference: reference}
	r, code, status := p.pick(r, ManifestGet, ManifestHead, ManifestPut, ManifestDelete)
	if r.Kind != ManifestPut {
		return r, code, status
	}
	r.Tags = p.url.Query()["tag"]
	for _, tag := range r.Tags {
		if !validTag(tag) {
			return Request{}, CodeTagInvalid, http.StatusBadRequest
		}
	}
	return r, "", 0
}

// start reads the three POSTs that begin an upload. A mount wins over a digest, as registries have it.
func (p parser) start(repository string) (Request, Code, int) {
	q := p.url.Query()
	r := Request{Repository: repository}
	if mount := q.Get("mount"); mount != "" {
		if !validDigest(mount) {
			return Request{}, CodeDigestInvalid, http.StatusBadRequest
		}
		r.Digest, r.From = digest.Digest(mount), q.Get("from")
		if r.From != "" && !validName(r.From) {
			return Request{}, CodeNameInvalid, http.StatusBadRequest
		}
		return p.pick(r, Mount)
	}
	if q.Has("digest") {
		if !validDigest(q.Get("digest")) {
			return Request{}, CodeDigestInvalid, http.StatusBadRequest
		}
		r.Digest = digest.Digest(q.Get("digest"))
		return p.pick(r, UploadSingle)
	}
	r.Algorithm, r.From = q.Get("digest-algorithm"), q.Get("from")
	if r.Algorithm != "" && !validAlgorithm(r.Algorithm) {
		return Request{}, CodeDigestInvalid, http.StatusBadRequest
	}
	if r.From != "" && !validName(r.From) {
		return Request{}, CodeNameInvalid, http.StatusBadRequest
	}
	return p.pick(r, UploadStart)
}

func (p parser) session(repository, id string) (Request, Code, int) {
	if id == "." || id == ".." || strings.ContainsFunc(id, isControl) {
		return Request{}, CodeBlobUploadUnknown, http.StatusNotFound
	}
	r := Request{Repository: repository, Session: id}
	r, code, status := p.pick(r, UploadChunk, UploadFinish, UploadStatus, UploadCancel)
	if r.Kind != UploadFinish {
		return r, code, status
	}
	closing := p.url.Query().Get("digest")
	if !validDigest(closing) {
		return Request{}, CodeDigestInvalid, http.StatusBadRequest
	}
	r.Digest = digest.Digest(closing)
	return r, "", 0
}

func (p parser) tags(repository string) (Request, Code, int) {
	q := p.url.Query()
	r := Request{Repository: repository, Last: q.Get("last")}
	if text := q.Get("n"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return Request{}, CodePaginationNumberInvalid, http.StatusBadRequest
		}
		r.N = int(n)
		if n == 0 {
			r.N = -1
		}
	}
	return p.pick(r, TagList)
}
