package wire

import (
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// Request is one request of the API as a value. Only the fields that its Kind uses are set; URL ignores
// the others, and Parse leaves them zero.
type Request struct {
	Kind Kind

	// Repository is the name of the repository without the host; "" only for Ping.
	Repository string

	// Digest is the blob (BlobGet, BlobHead, BlobDelete), the blob wanted (Mount), the closing digest
	// (UploadSingle, UploadFinish) or the subject (Referrers).
	Digest digest.Digest

	// Reference is the tag or digest of a manifest.
	Reference string

	// Tags are the tag= parameters of a ManifestPut, in order.
	Tags []string

	// From is the source repository of a Mount; "" leaves the parameter out, which asks the registry to
	// find the blob by itself (automatic content discovery). A POST with from= but without mount= is no
	// mount; Parse keeps it as an UploadStart with From set, for a server to decide (zot answers 405,
	// others 202).
	From string

	// Session is the upload id in the path of an upload session. Servers use it; a client goes where the
	// Location header says.
	Session string

	// N is the page size of a TagList. 0 leaves the parameter out; a negative value stands for n=0 (an
	// empty page), and Parse gives -1 for it.
	N int

	// Last is the tag after which a TagList begins; "" leaves the parameter out.
	Last string

	// ArtifactType filters Referrers; "" leaves the parameter out.
	ArtifactType string

	// Algorithm is the digest-algorithm= parameter of an UploadStart; "" leaves it out.
	Algorithm string
}

// Method returns the HTTP method of r, "" when r has no Kind.
func (r Request) Method() string { return r.Kind.method() }

// URL returns base with the path and query of r. Of base, only scheme and host count. The result is
// newly made; base is not changed.
func (r Request) URL(base *url.URL) *url.URL {
	return &url.URL{
		Scheme:   base.Scheme,
		Host:     base.Host,
		Path:     r.path(),
		RawQuery: r.query().Encode(),
	}
}

func (r Request) path() string {
	root := "/v2/" + r.Repository
	switch r.Kind {
	case BlobGet, BlobHead, BlobDelete:
		return root + "/blobs/" + r.Digest.String()
	case ManifestGet, ManifestHead, ManifestPut, ManifestDelete:
		return root + "/manifests/" + r.Reference
	case UploadStart, UploadSingle, Mount:
		return root + "/blobs/uploads/"
	case UploadChunk, UploadFinish, UploadStatus, UploadCancel:
		return root + "/blobs/uploads/" + r.Session
	case TagList:
		return root + "/tags/list"
	case Referrers:
		return root + "/referrers/" + r.Digest.String()
	}
	return "/v2/"
}

func (r Request) query() url.Values {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	switch r.Kind {
	case ManifestPut:
		for _, tag := range r.Tags {
			q.Add("tag", tag)
		}
	case UploadStart:
		set("digest-algorithm", r.Algorithm)
		set("from", r.From)
	case UploadSingle, UploadFinish:
		set("digest", r.Digest.String())
	case Mount:
		set("mount", r.Digest.String())
		set("from", r.From)
	case TagList:
		if r.N != 0 {
			q.Set("n", strconv.Itoa(max(r.N, 0)))
		}
		set("last", r.Last)
	case Referrers:
		set("artifactType", r.ArtifactType)
	}
	return q
}
