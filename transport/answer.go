package transport

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// Answer is what a registry said to one request, after redirects, tokens and
// repeats.
type Answer struct {
	// Status is the HTTP status of the last answer, 0 when none came.
	Status int
	// Err is why no answer came: the network, the context, a token server, or
	// content that could not be read. With Status 401 it is why no token could
	// be had; with any other status it is nil.
	Err error
	// Errors is what the body of a refusal gave as reasons, at most 64.
	Errors []wire.Error
	// Digest is the Docker-Content-Digest header, if it is one.
	Digest digest.Digest
	// Limited says that the answer was a rate limit: 429, or a 403 that speaks
	// of one (GHCR).
	Limited bool
	// Corrupt says that the registry got other bytes than the digest names.
	Corrupt bool
	// Content says that Err is about the content that was to be sent.
	Content bool
	// Late says that all content of a blob went out and no answer to that came in
	// time.
	Late bool
	// Sent counts the bytes of content that went out, over all repeats.
	Sent int64
	// Offset is where a resumed upload went on, by what the registry said, in bytes
	// of the content; 0 if it said nothing.
	Offset int64
	// Requests counts the HTTP requests that the answer took.
	Requests int

	op         string
	host       string
	repository string
	digest     digest.Digest
	reference  string
	url        *url.URL // of the request that was answered, after redirects
	header     http.Header
	body       []byte
}

// OK says whether the status is one of 200 to 299.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// Barred says that no token could be had for the target itself: the token server
// does not accept the credential, or grants it nothing there. No request to the
// target can succeed then.
func (a Answer) Barred() bool {
	return a.Err != nil && a.Status == http.StatusUnauthorized && !errors.Is(a.Err, auth.ErrSourceRefused)
}

// Unreadable says that the registry has answered, but with what is of no use here: it
// is too large, or leads where it may not.
func (a Answer) Unreadable() bool {
	return a.Status == 0 && (errors.Is(a.Err, errReplySize) || errors.Is(a.Err, ErrForeign))
}

// Heard says whether an answer came.
func (a Answer) Heard() bool { return a.Status != 0 }

// Missing returns the digests of the blobs that the registry named as missing,
// in the order in which it named them.
func (a Answer) Missing() []digest.Digest { return wire.MissingBlobs(a.Errors) }

// Has says whether the registry gave code as a reason.
func (a Answer) Has(code wire.Code) bool { return a.error().has(code) }

// Tags returns the tags that the registry says it has set (OCI-Tag headers).
func (a Answer) Tags() []string { return a.header.Values("OCI-Tag") }

// Failure returns the answer as an error: for the caller who cannot go on. It is
// an *[Error], whatever the status.
func (a Answer) Failure() error { return a.error() }

func (a Answer) error() *Error {
	return &Error{
		Op: a.op, Host: a.host, Repository: a.repository, Digest: a.digest, Reference: a.reference,
		Status: a.Status, Errors: a.Errors, Limited: a.Limited, Err: a.Err,
	}
}
