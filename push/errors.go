package push

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
	"github.com/crossmount/crossmount/transport"
)

// The errors that are matched with errors.Is. Those of package transport, such
// as transport.ErrUnauthorized or transport.ErrDenied, match too where the
// registry gave the reason.
var (
	// ErrNoImage: the image is nil.
	ErrNoImage = errors.New("no image")
	// ErrNoRefs: no reference was given.
	ErrNoRefs = errors.New("no references")
	// ErrReference: a reference is nil, names no repository, or names another
	// digest than that of the image.
	ErrReference = errors.New("reference cannot be pushed to")
	// ErrTagImmutable: the registry does not let a tag move, and it stands with
	// another manifest. [Error.Digest] is of that one. A tag that stands with the
	// image already is no error.
	ErrTagImmutable = errors.New("tag is immutable")
	// ErrMissingChild: an index names a manifest that neither the image nor the
	// registry holds.
	ErrMissingChild = errors.New("an index names a manifest that is nowhere to be found")
	// ErrReferrers: the image stands, but the list of what refers to its subject
	// could not be brought up to date.
	ErrReferrers = errors.New("list of referrers is not up to date")
	// ErrContent: a layer or config could not be read, or is not what its
	// digest and size say.
	ErrContent = transport.ErrContent
)

// Error says what of a push failed.
type Error struct {
	// Op is what was being done, such as "push blob" or "put manifest".
	Op string
	// Ref is the reference or repository, with its registry; "" if the failure
	// is not about one.
	Ref string
	// Digest of the blob or manifest, or "" for none.
	Digest digest.Digest
	// Err is the cause, often a *transport.Error.
	Err error
}

// Error returns one line.
func (e *Error) Error() string {
	s := e.Op
	if e.Ref != "" {
		s += " " + e.Ref
	}
	if e.Digest != "" {
		s += " " + e.Digest.String()
	}
	return fmt.Sprintf("%s: %v", s, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// inventoryError turns what the inventory says into an error of this package.
func inventoryError(err error) error {
	if errors.Is(err, inventory.ErrNoImage) {
		return &Error{Op: "read image", Err: ErrNoImage}
	}
	e := &Error{Op: "read image", Err: err}
	var inv *inventory.Error
	if errors.As(err, &inv) {
		e.Digest = inv.Digest
	}
	return e
}
