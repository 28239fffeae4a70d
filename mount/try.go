package mount

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Kind is one of the five ways to settle a blob.
type Kind int

// The kinds of a try, with their endpoints of the distribution spec.
const (
	Check     Kind = iota + 1 // HEAD blob (end-2)
	Mount                     // POST ?mount=D&from=R (end-11)
	MountSelf                 // POST ?mount=D&from=<target>
	MountAny                  // POST ?mount=D: automatic content discovery
	Upload                    // the bytes (end-4, end-5, end-6)
)

// String returns the name of the kind as reports and logs write it.
func (k Kind) String() string {
	switch k {
	case Check:
		return "check"
	case Mount:
		return "mount"
	case MountSelf:
		return "mount-self"
	case MountAny:
		return "mount-any"
	case Upload:
		return "upload"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// MarshalText writes the name of the kind.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// isMount says whether a try of this kind is a POST that may open a session.
func (k Kind) isMount() bool { return k == Mount || k == MountSelf || k == MountAny }

// places says whether a try of this kind puts a blob into the target that did
// not stand there.
func (k Kind) places() bool { return k == Mount || k == MountAny || k == Upload }

// links says whether a try of this kind links the blob from another repository
// when it hits.
func (k Kind) links() bool { return k == Mount || k == MountAny }

// Form is how an upload sends its bytes.
type Form int

// The forms of an upload.
const (
	Put    Form = iota // one PUT with the whole body on the session
	Stream             // one PATCH with the whole body, then an empty PUT: can be resumed, and is for hosts that limit the size of a PUT (ACR above some 20 MB)
	Single             // one POST with the content, where no session is open
	Chunks             // PATCHes of a part each, in order, then an empty PUT: for hosts that limit any body
)

// Try is one rung of a ladder.
type Try struct {
	Kind Kind `json:"kind"`
	// From is the source repository of a Mount.
	From string `json:"from,omitempty"`
	// Pause is how long to wait before a Check or the rest of an Upload, in
	// seconds: a mount that was answered 201 may take a while to arrive, and so may
	// what was sent before a cut.
	Pause float64 `json:"-"`
	// Form of an Upload.
	Form Form `json:"-"`
	// Chunk is the size of a chunk in bytes, for Chunks.
	Chunk int64 `json:"-"`
	// Resume says that an Upload asks the session where it stands and sends the
	// rest.
	Resume bool `json:"resume,omitempty"`
}

// String returns the try as reports and logs write it.
func (t Try) String() string {
	switch {
	case t.Kind == Mount:
		return "mount from " + t.From
	case t.Kind == Upload && t.Resume:
		return "upload the rest"
	case t.Kind == Upload && t.Form == Stream:
		return "upload in a stream"
	case t.Kind == Upload && t.Form == Single:
		return "upload in one request"
	case t.Kind == Upload && t.Form == Chunks:
		return "upload in chunks"
	}
	return t.Kind.String()
}

// Outcome is what a try came back with. It is data, whatever the registry
// answered.
type Outcome struct {
	Try Try
	// Status is the HTTP status of the answer, 0 when none came.
	Status int
	// Session says whether the answer of a mount opened an upload session that
	// can be used; of an upload, whether its session may still hold what was sent.
	Session bool
	// Sent is how many bytes of content an upload sent, and Whole says that this
	// was all that was to be sent.
	Sent  int64
	Whole bool
	// Late says that all content of an upload was out and no answer to that came in
	// time.
	Late bool
	// Offset is where an upload that was resumed went on, in bytes of the blob: what
	// the session held by then. It is 0 if that is not known.
	Offset int64
	// Digest is the Docker-Content-Digest of the answer, if there was one.
	Digest digest.Digest
	// Limited says that the answer was a rate limit, whatever its status.
	Limited bool
	// Corrupt says that the registry got other bytes than the digest names
	// (DIGEST_INVALID), though those that were read here had the right one.
	Corrupt bool
	// Fatal says that going on is of no use: the content could not be read or
	// is not what its digest says, or the push was cancelled.
	Fatal bool
}

// Verdict is what an outcome means.
type Verdict int

// The verdicts.
const (
	Hit     Verdict = iota + 1 // the blob stands in the target
	Miss                       // answered as asked, and the blob is not there; a mount has opened a session
	Refused                    // the registry does not do this, or not for us: nothing is known of the blob
	Unsure                     // it may have happened all the same: check before anything is sent
	Limited                    // put off; all but a mount is tried again, once the registry allows it
	Failed                     // nothing further can be done
)

// String returns the verdict as reports write it.
func (v Verdict) String() string {
	switch v {
	case Hit:
		return "hit"
	case Miss:
		return "miss"
	case Refused:
		return "refused"
	case Unsure:
		return "unsure"
	case Limited:
		return "limited"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("Verdict(%d)", int(v))
}

// MarshalText writes the verdict as reports write it.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Judge says what an outcome means for the blob with digest d. A mount is
// never Failed: whatever a registry answers to it, the blob can be pushed.
func Judge(d digest.Digest, o Outcome) Verdict {
	switch {
	case o.Fatal:
		return Failed
	case o.Limited || o.Status == 429:
		return Limited
	case o.Status == 0 || o.Status == 408 || o.Status >= 500:
		return Unsure
	}
	switch o.Try.Kind {
	case Check:
		return judgeCheck(o.Status)
	case Upload:
		return judgeUpload(o)
	}
	return judgeMount(d, o)
}

// judgeCheck: only 200 and 404 say something. A registry that forbids HEAD
// (401, 403, 405) has said nothing of the blob. The digest and the size of a
// HEAD reply are not compared: some registries describe a link instead
// (Cloudflare serverless-registry).
func judgeCheck(status int) Verdict {
	switch status {
	case 200:
		return Hit
	case 404:
		return Miss
	}
	return Refused
}

// judgeMount is the table of answers to a mount. 201 with another digest, or
// with what is no digest, is not a mount of this blob; without a digest it is
// one (zot sends none), and with one of another algorithm it is too
// (distribution names sha512 blobs by their sha256).
func judgeMount(d digest.Digest, o Outcome) Verdict {
	switch o.Status {
	case 201:
		if o.Digest == "" || o.Digest == d || otherAlgorithm(o.Digest, d) {
			return Hit
		}
		return Refused
	case 202:
		return Miss
	}
	return Refused
}

// otherAlgorithm says whether a is a digest by another algorithm than b.
func otherAlgorithm(a, b digest.Digest) bool {
	x, _, ok := strings.Cut(string(a), ":")
	y, _, _ := strings.Cut(string(b), ":")
	return ok && x != y
}

// judgeUpload: a session that is gone (404), out of step (416), of no use (400:
// old zot, olareg) or that holds other bytes (DIGEST_INVALID) may hide a blob
// that stands, so the blob is checked before it is sent again. A body that is
// too large, or a method that the host does not know, wants another form.
func judgeUpload(o Outcome) Verdict {
	switch s := o.Status; {
	case s == 201 || s == 204:
		return Hit
	case o.Try.Form == Single && s != 413 && s != 408 && s != 401 && s != 403 && !o.Corrupt:
		return Refused // the host took the request for one that opens a session, or for none
	case s == 404 || s == 416 || s == 408 || s == 400 || o.Corrupt:
		return Unsure
	case s == 200 || s == 202: // accepted, but by the spec not closed
		return Unsure
	case s == 413:
		return Refused
	case o.Try.Resume:
		return Unsure
	case o.Try.Form != Put && (s == 405 || s == 415 || s == 411):
		return Refused
	}
	return Failed
}
