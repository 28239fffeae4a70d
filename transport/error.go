package transport

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/wire"
)

// The errors that an [Error] matches with errors.Is, by the status of the
// answer and the codes in its body.
var (
	// ErrUnauthorized: 401, or no token could be had for what was asked.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrDenied: 403, or the code DENIED.
	ErrDenied = errors.New("denied")
	// ErrNotFound: 404.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge: 413.
	ErrTooLarge = errors.New("too large")
	// ErrRateLimited: 429, or a 403 that speaks of a rate limit, after all waiting.
	ErrRateLimited = errors.New("rate limited")
	// ErrBlobUnknown: a manifest names a blob that the repository does not hold.
	ErrBlobUnknown = errors.New("blob unknown to registry")
	// ErrUnheard: no answer came.
	ErrUnheard = errors.New("registry not heard")
	// ErrContent: the content of a blob could not be read, or is not what its
	// digest and size say.
	ErrContent = errors.New("content does not match its descriptor")
	// ErrForeign: a Location or redirect leads where it may not.
	ErrForeign = errors.New("leads where it may not")
)

// Error says which request failed, and how. It never holds a credential: URLs
// are not in it, and what the registry wrote is bounded and free of control
// characters.
type Error struct {
	// Op is the operation, such as "mount blob" or "put manifest".
	Op string
	// Host is the registry, with its port.
	Host string
	// Repository without the registry.
	Repository string
	// Digest of the blob or manifest, or "" for none.
	Digest digest.Digest
	// Reference is the tag of a manifest, or "" for none.
	Reference string
	// Status is the HTTP status, 0 when no answer came.
	Status int
	// Errors is what the registry gave as reasons.
	Errors []wire.Error
	// Limited says that the answer was a rate limit, whatever its status.
	Limited bool
	// Err is why no answer came, or nil.
	Err error
}

// Error returns one line: the operation, what it was about, the status and the
// registry's reasons.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s", e.Op, e.Host, e.Repository)
	if e.Reference != "" {
		fmt.Fprintf(&b, ":%s", e.Reference)
	}
	if e.Digest != "" {
		fmt.Fprintf(&b, "@%s", e.Digest)
	}
	if e.Status != 0 {
		b.WriteString(strings.TrimRight(fmt.Sprintf(": %d %s", e.Status, http.StatusText(e.Status)), " "))
	}
	for _, r := range e.Errors {
		fmt.Fprintf(&b, ": %s", r.Code)
		if r.Message != "" {
			fmt.Fprintf(&b, " (%s)", r.Message)
		}
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", plain(e.Err.Error()))
	}
	return b.String()
}

// maxReason bounds how much of the text of another error is repeated, in bytes.
const maxReason = 1 << 10

// plain returns the text of an error in one line of bounded length: those of
// net/http may quote a header of any size as it came.
func plain(text string) string {
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
}

// Unwrap returns why no answer came.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the sentinel errors of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	case ErrDenied:
		return e.Status == http.StatusForbidden && !e.Limited || e.has(wire.CodeDenied)
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrTooLarge:
		return e.Status == http.StatusRequestEntityTooLarge
	case ErrRateLimited:
		return e.Limited
	case ErrBlobUnknown:
		return e.has(wire.CodeManifestBlobUnknown) || e.has(wire.CodeBlobUnknown)
	case ErrUnheard:
		return e.Status == 0
	}
	return false
}

// has says whether the registry gave code as a reason.
func (e *Error) has(code wire.Code) bool {
	for _, r := range e.Errors {
		if r.Code == code {
			return true
		}
	}
	return false
}
