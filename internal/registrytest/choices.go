package registrytest

// Discovery says how a mount without from is answered (distribution spec 1.1, "Mounting a blob from
// another repository": automatic content discovery).
type Discovery int

const (
	// DiscoveryOff answers 202 always: distribution 2 and 3, Quay, Harbor.
	DiscoveryOff Discovery = iota
	// DiscoveryOn answers 201 when any repository holds the blob: zot with dedupe, Gitea.
	DiscoveryOn
	// DiscoveryTargetOnly answers 201 when the target itself holds the blob: olareg, zot without dedupe, GCR.
	DiscoveryTargetOnly
)

// MountScope says to which mounts Behaviour.MountStatus applies.
type MountScope int

const (
	// AnyMount is every mount.
	AnyMount MountScope = iota
	// MountsWithFrom are those that name a source.
	MountsWithFrom
	// MountsWithoutFrom are those that name none: Quay before September 2021 answered them with 400.
	MountsWithoutFrom
	// MountsFromTopLevel are those whose source has no "/" in its name: Harbor answers them with 400.
	MountsFromTopLevel
)

// DigestHeader says what Docker-Content-Digest a reply carries.
type DigestHeader int

const (
	// DigestRight is the digest of the blob.
	DigestRight DigestHeader = iota
	// DigestOther is the digest of something else.
	DigestOther
	// DigestNone leaves the header out: zot.
	DigestNone
)

// LocationForm is the form of the upload session's URL in a Location header.
type LocationForm int

const (
	// LocationRelative is a path: zot, olareg, ggcr.
	LocationRelative LocationForm = iota
	// LocationAbsolute is a URL with scheme and host: Quay, ECR.
	LocationAbsolute
	// LocationStateQuery is a URL with a state in its query that changes with every PATCH, which makes the
	// former URL stale: distribution. A request without it gets 404.
	LocationStateQuery
	// LocationOtherPath is a path of another shape, /blobs/upload/<id>: GHCR.
	LocationOtherPath
	// LocationCarriesMount is a path that repeats the query of the mount which it answers. A request that
	// sends it along gets 400: zot before mid-2022.
	LocationCarriesMount
)

// SinglePost says what a POST with digest= and the whole blob as its body does (spec, end-4b).
type SinglePost int

const (
	// SinglePostIgnored opens a session and wastes the body: distribution.
	SinglePostIgnored SinglePost = iota
	// SinglePostTaken stores the blob: olareg, ggcr.
	SinglePostTaken
	// SinglePostOctetStream stores it too, but answers 415 to a Content-Type other than
	// application/octet-stream and 400 to a missing Content-Length: zot.
	SinglePostOctetStream
)

// LaterPatch says what a second PATCH with a body on one session does.
type LaterPatch int

const (
	// LaterPatchTaken appends it.
	LaterPatchTaken LaterPatch = iota
	// LaterPatchDropped answers as always, but drops the body; Range stays where it was: ECR.
	LaterPatchDropped
	// LaterPatchRefused answers 400: Gitea, for streams.
	LaterPatchRefused
)

// MissingBlobs says how a manifest is answered whose blobs or children the repository does not hold.
type MissingBlobs int

const (
	// MissingNamed is 400 MANIFEST_BLOB_UNKNOWN, one error for each, with the digest as detail: distribution.
	MissingNamed MissingBlobs = iota
	// MissingNamedInText is the same with a sentence as detail, "layer not found: <digest>": olareg.
	MissingNamedInText
	// MissingUnnamed is 400 MANIFEST_INVALID without a digest: zot.
	MissingUnnamed
	// MissingUploadUnknown is 400 BLOB_UPLOAD_UNKNOWN, "Layers with digests '[…]' do not exist": ECR.
	MissingUploadUnknown
	// MissingNotFound is 404 BLOB_UNKNOWN without a digest.
	MissingNotFound
	// MissingInternal is 500: cue's in-memory registry.
	MissingInternal
	// MissingUnchecked is 201, and a broken image: ggcr.
	MissingUnchecked
)
