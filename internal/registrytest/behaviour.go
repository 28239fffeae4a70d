package registrytest

import (
	"net/http"
	"time"
)

// Behaviour is how a registry answers. Each field is one manner that was seen at the registry which its
// comment names. Every zero value conforms to the distribution specification, and the zero Behaviour is
// a registry like the CNCF distribution without authorization.
//
// A status of 0 is always the conforming one.
type Behaviour struct {
	// Discovery says how a mount without from is answered. Off by default.
	Discovery Discovery
	// SelfMountOff answers 202 to a mount from the target itself, even when the target holds the blob
	// (Cloudflare serverless-registry). By default that is 201, as on distribution, zot and olareg.
	SelfMountOff bool
	// MountAlways202 mounts nothing, ever: Artifactory, ggcr, ECR with BLOB_MOUNTING disabled.
	MountAlways202 bool
	// FromIgnored treats every mount as one without from, so that even a from which does not exist gets
	// 201 (zot with dedupe: Discovery On) or 202 (zot without: TargetOnly).
	FromIgnored bool
	// MountStatus is the answer to the mounts of MountScope: 400 (old Quay, Harbor), 401 (Docker Hub),
	// 403, 404, 405, 415, 422, 429, 500. 0 is off.
	MountStatus int
	// MountScope says which mounts get MountStatus. Any by default.
	MountScope MountScope
	// MountFromStatus is the answer to mounts from one source, by its name: 401 for a repository that the
	// caller must not read (Docker Hub, Harbor, GitLab). The map must not change while the registry serves.
	MountFromStatus map[string]int
	// MountFromMissing is the answer when the source does not exist: 404 NAME_UNKNOWN (cue, pulp), 401
	// (Harbor). 0 is 202.
	MountFromMissing int
	// MountBlobMissing is the answer when the source exists but does not hold the blob: 404 BLOB_UNKNOWN
	// (cue, pulp). 0 is 202.
	MountBlobMissing int
	// MountErrorsThoughMounted answers 500 to a mount with from that was in fact made: the 2021 fork of
	// distribution that first had content discovery.
	MountErrorsThoughMounted bool
	// PhantomMount is how many of the mounts that should succeed get a 201 while the blob does not arrive
	// (GHCR when it throttles, Gitea before 2023). A negative number is all of them.
	PhantomMount int
	// MountDigest is the Docker-Content-Digest of a 201. zot sends none.
	MountDigest DigestHeader
	// AcceptedWithoutLocation leaves the Location out of a mount's 202; no session is opened.
	AcceptedWithoutLocation bool
	// CreatedWithoutLocation leaves the Location out of every 201: ggcr for blobs, ECR for manifests.
	CreatedWithoutLocation bool
	// ReferencedOnly mounts a blob only when some manifest of the source names it: ECR. The target's own
	// blobs are not affected.
	ReferencedOnly bool

	// LocationForm is the form of the session's URL. Relative by default.
	LocationForm LocationForm
	// LocationHost gives the scheme and host of a session's URL ("http://other:5000"), for redirection to
	// another host or from https to http (distribution behind a TLS proxy). nil is the request's own. It
	// turns every form into an absolute one.
	LocationHost func(*http.Request) string
	// StaleSession is the answer to a session URL whose state is old: 416 (distribution 3), 400 (olareg).
	// 0 is 404 (distribution 2.8). It matters with LocationStateQuery only.
	StaleSession int
	// SessionBoundToDigest answers 500 when a session that a mount opened is closed with another digest:
	// olareg.
	SessionBoundToDigest bool
	// SessionDropsOnCut forgets a session whose PATCH or PUT broke off: zot, distribution 2.8. By default
	// the bytes that came stand, and the upload can go on: distribution 3, olareg.
	SessionDropsOnCut bool
	// DeleteSession is the answer to DELETE of a session: 400 (ggcr), 401 (distribution with tokens), 404,
	// 405 (cue). Any but 0 (204) and 204 leaves the session open.
	DeleteSession int
	// StatusSession is the answer to GET of a session: 400 (ggcr), 404 (ECR Public). 0 is 204.
	StatusSession int
	// FreshRange is the Range header of a session without bytes: "0--1" (olareg), "bytes=0--1" (Quay).
	// "" is "0-0".
	FreshRange string
	// NoUploadRange leaves Range out of the 202 that opens a session: olareg.
	NoUploadRange bool

	// SinglePost says what a POST with digest= and a body does. Ignored by default.
	SinglePost SinglePost
	// PutLimit is the largest body, in bytes, that a PUT on a session may have; above it is 413: ACR, some
	// 20 MB. 0 is no limit.
	PutLimit int64
	// BodyLimit is the largest body of any request, in bytes; above it is 413: proxies in front of a
	// registry (Cloudflare, nginx). 0 is no limit.
	BodyLimit int64
	// PutChunkedRefused answers 400 to a PUT without Content-Length: zot.
	PutChunkedRefused bool
	// PutStatus is the answer to the PUT that closes an upload: 204, or 200. 0 is 201.
	PutStatus int
	// PatchStatus is the answer to a PATCH: 201 (ECR), 200, 204. 0 is 202.
	PatchStatus int
	// PatchWithoutLocation leaves the Location out of a PATCH's reply: the former URL stays.
	PatchWithoutLocation bool
	// LaterPatch says what becomes of a second PATCH on one session. Taken by default.
	LaterPatch LaterPatch
	// PatchLimit is the largest PATCH with a Content-Range, in bytes; above it is 416: GHCR, 4 MiB. 0 is
	// no limit.
	PatchLimit int64
	// ChunkMin is sent as OCI-Chunk-Min-Length, in bytes, and a body after a shorter chunk is 400: cue,
	// Cloudflare. 0 sends none.
	ChunkMin int64
	// RangeIgnored appends whatever comes, also out of order: distribution 2.8.
	RangeIgnored bool

	// HeadStatus is the answer to every HEAD of a blob: 401, 403 (signed storage), 405. 0 is by content.
	HeadStatus int
	// HeadSeesAll lets HEAD and GET of a blob see the blobs of all repositories: zot with dedupe until
	// August 2026, Nexus groups. Manifests are checked against the repository all the same.
	HeadSeesAll bool
	// HeadLinks makes a HEAD that saw another repository's blob put it into this one: zot with dedupe.
	HeadLinks bool
	// HeadSize is the Content-Length that HEAD of a blob gives, with the digest of something else: 86 on
	// Cloudflare serverless-registry after a mount. 0 is the truth.
	HeadSize int64
	// GlobalBlobs makes the blobs of all repositories one store: nothing is ever mounted, HEAD sees all
	// and manifests pass: ggcr.
	GlobalBlobs bool
	// RedirectBlobs answers GET and HEAD of a blob with 307 to this scheme and host: signed storage. ""
	// is off.
	RedirectBlobs string
	// DiscardAbove is the size, in bytes, above which the content of an uploaded blob is counted and
	// hashed with SHA-256 but not kept, so that uploads of any size need no memory. Its GET is then 404.
	// 0 keeps all.
	DiscardAbove int64

	// MissingBlobs says how a manifest with missing blobs is answered. Named by default.
	MissingBlobs MissingBlobs
	// EventualManifest is how many manifest PUTs of a repository get 404 BLOB_UNKNOWN after the first
	// upload into it: Nexus, ACR across regions, GHCR.
	EventualManifest int
	// TagParams honours tag= of a manifest PUT by digest, and answers with OCI-Tag (spec, end-7): zot,
	// olareg. By default they are silently ignored, as on distribution.
	TagParams bool
	// TagParamsMax is how many tag= of one PUT are honoured; the others are silently left out, and not in
	// OCI-Tag. 0 is all.
	TagParamsMax int
	// TagHeader answers with OCI-Tag to a manifest PUT by tag as well: olareg.
	TagHeader bool
	// ManifestETags gives an ETag with every manifest, and answers 412 to a PUT whose If-Match is another
	// one than that of the manifest behind the reference now. distribution gives one and ignores If-Match.
	ManifestETags bool
	// ImmutableTags answers 400 TAG_INVALID to a tag that would move: ECR.
	ImmutableTags bool
	// ManifestLimit is the largest manifest, in bytes; above it is 413: zot, 4 MiB. 0 is no limit.
	ManifestLimit int64
	// ManifestGetUnknownName answers NAME_UNKNOWN instead of MANIFEST_UNKNOWN to a manifest GET in a
	// repository that does not exist: zot, olareg.
	ManifestGetUnknownName bool
	// ManifestHeadStatus is the answer to every HEAD of a manifest: 403 (Artifactory). 0 is by content.
	ManifestHeadStatus int
	// Subject honours the subject of a manifest: OCI-Subject, and the referrers API. Without it referrers
	// are 404, as on distribution.
	Subject bool

	// RepoAbsentReset breaks the connection of a request to a repository that does not exist: ECR. See
	// Registry.CreateRepository.
	RepoAbsentReset bool
	// RateLimit refuses the first requests. The zero value refuses none.
	RateLimit RateLimit
	// RedirectUploads answers every POST, PUT and PATCH with 307 to this scheme and host, with the same
	// path and query. "" is off.
	RedirectUploads string
	// ErrorsPlainText sends the JSON of errors as text/plain: olareg, ggcr.
	ErrorsPlainText bool
	// ErrorsBare sends the first error as one bare object, not in "errors": zot's 401.
	ErrorsBare bool
	// NoGrease leaves out the headers and JSON fields that no specification knows.
	NoGrease bool
	// Auth asks for authorization. nil asks for none.
	Auth *Auth

	// Latency is how long a request takes before anything else happens.
	Latency time.Duration
	// BytesPerSecond is the bandwidth of the registry's link: the bodies of all requests share it. 0 is
	// without limit.
	BytesPerSecond int64
}

// RateLimit says how the first requests are refused, counted from New or the last SetBehaviour.
type RateLimit struct {
	// First is how many requests are refused.
	First int
	// Status is the answer: 403 is GHCR's "secondary rate limit". 0 is 429.
	Status int
	// RetryAfter is the Retry-After header; "" leaves it out, as many registries do.
	RetryAfter string
	// Message is the text of the error: GHCR says "retry-after: 10.3ms, allowed: 2000/minute" there.
	// "" is a plain sentence.
	Message string
}

// or returns status, or normal when status is 0.
func or(status, normal int) int {
	if status == 0 {
		return normal
	}
	return status
}
