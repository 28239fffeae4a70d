package push

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// Report says what became of a push. It is never nil, also beside an error.
type Report struct {
	// Digest of the image.
	Digest digest.Digest `json:"digest,omitempty"`
	// Refs in the order in which they were given.
	Refs []RefReport `json:"refs"`
	// Blobs of each repository: repositories in the order of their first
	// reference, blobs in the order of the image.
	Blobs []BlobReport `json:"blobs"`
	// Referrers is what became of the lists of what refers to a subject, for the
	// manifests of the image that have one.
	Referrers []ReferrersReport `json:"referrers,omitempty"`
	// Requests counts the requests to registries; those to token servers are
	// not in it.
	Requests int `json:"requests"`
	// Sent counts the bytes of blobs that went out, those sent in vain included.
	Sent int64 `json:"sent"`
	// Saved counts the bytes of blobs that stand without having been sent.
	Saved int64 `json:"saved"`
	// Repaired counts how often a manifest was refused because something that it
	// names was believed to stand and did not, and put again after that was brought.
	Repaired int `json:"repaired,omitempty"`
}

// RefReport says what became of one reference.
type RefReport struct {
	Ref string `json:"ref"`
	// Digest that the reference resolves to if it stands.
	Digest digest.Digest `json:"digest"`
	// Stands says whether the reference resolves to the image, by the
	// registry's word.
	Stands bool `json:"stands"`
	// Unchanged says that it did so before.
	Unchanged bool `json:"unchanged,omitempty"`
	// Err is why it does not stand.
	Err error `json:"-"`
	// Error is Err in words.
	Error string `json:"error,omitempty"`
}

// ReferrersReport says what became of the list of what refers to one manifest in
// one repository (distribution specification, "Listing Referrers").
type ReferrersReport struct {
	Repository string `json:"repository"`
	// Subject is the manifest that is referred to. It need not stand.
	Subject digest.Digest `json:"subject"`
	// Manifests of the image that refer to it.
	Manifests []digest.Digest `json:"manifests"`
	// Tag is the one that holds the list, where the registry keeps none by itself:
	// the referrers tag of the specification. It is "" where it does.
	Tag string `json:"tag,omitempty"`
	// Unchanged says that the list named the manifests before.
	Unchanged bool `json:"unchanged,omitempty"`
	// Err is why the list is not up to date. It matches [ErrReferrers].
	Err error `json:"-"`
	// Error is Err in words.
	Error string `json:"error,omitempty"`
}

// BlobReport says what became of one blob in one repository.
type BlobReport struct {
	Repository  string            `json:"repository"`
	Digest      digest.Digest     `json:"digest"`
	Size        int64             `json:"size"`
	Disposition mount.Disposition `json:"disposition"`
	// From is the repository that a mounted blob was linked from; "" with
	// Discovered when the registry found it by itself.
	From       string `json:"from,omitempty"`
	Discovered bool   `json:"discovered,omitempty"`
	// Sent counts the bytes of it that went out.
	Sent int64 `json:"sent"`
	// Saved is its size if it stands without having been sent.
	Saved int64 `json:"saved"`
	// Tries in the order in which they were made.
	Tries []TryReport `json:"tries,omitempty"`
}

// TryReport says what one try came back with.
type TryReport struct {
	mount.Try
	// Status is the HTTP status, 0 when no answer came.
	Status  int           `json:"status"`
	Verdict mount.Verdict `json:"verdict"`
	// Sent counts the bytes of content that went out.
	Sent int64 `json:"sent,omitempty"`
}

// String prints the report, a line for each blob and each reference.
func (r *Report) String() string {
	var b strings.Builder
	for _, blob := range r.Blobs {
		fmt.Fprintf(&b, "%s\n", blob)
	}
	for _, ref := range r.Refs {
		switch {
		case ref.Unchanged:
			fmt.Fprintf(&b, "%s stands, as before: %s\n", ref.Ref, ref.Digest)
		case ref.Stands:
			fmt.Fprintf(&b, "%s stands: %s\n", ref.Ref, ref.Digest)
		default:
			fmt.Fprintf(&b, "%s failed: %s\n", ref.Ref, ref.Error)
		}
	}
	for _, l := range r.Referrers {
		if l.Err != nil {
			fmt.Fprintf(&b, "%s: the list of what refers to %s failed: %s\n", l.Repository, l.Subject, l.Error)
		}
	}
	fmt.Fprintf(&b, "%d requests, %d bytes sent, %d bytes saved\n", r.Requests, r.Sent, r.Saved)
	return b.String()
}

// String prints the blob, how it got there and what that took.
func (b BlobReport) String() string {
	hex := b.Digest.Encoded()
	how := b.Disposition.String()
	switch {
	case b.From != "":
		how += " from " + b.From
	case b.Discovered:
		how += " by discovery"
	}
	return fmt.Sprintf("%s@%s %10d B %s", b.Repository, hex[:min(12, len(hex))], b.Size, how)
}

// blobReport sums up how a blob got to a repository.
func blobReport(repository string, w *work) BlobReport {
	b := BlobReport{Repository: repository, Digest: w.blob.Digest, Size: w.blob.Size, Disposition: w.how}
	for i, o := range w.outcomes {
		b.Tries = append(b.Tries, TryReport{
			Try: o.Try, Status: o.Status, Verdict: mount.Judge(w.blob.Digest, o), Sent: w.answers[i].Sent,
		})
		b.Sent += w.answers[i].Sent
	}
	switch w.how {
	case mount.Stands, mount.Mounted:
		b.Saved = w.blob.Size
	}
	if w.how != mount.Mounted {
		return b
	}
	for _, o := range w.outcomes {
		switch o.Try.Kind {
		case mount.Mount:
			b.From, b.Discovered = o.Try.From, false
		case mount.MountAny:
			b.From, b.Discovered = "", true
		}
	}
	return b
}
