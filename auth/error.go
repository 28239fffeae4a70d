package auth

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// What an *Error matches with errors.Is.
var (
	// ErrUnauthorized says that the token server does not know the credential (401).
	ErrUnauthorized = errors.New("credential not accepted")

	// ErrDenied says that the credential does not permit the scope (403).
	ErrDenied = errors.New("access denied")

	// ErrSourceRefused says that the request needs to read another repository than its target, as a mount
	// does, and that no token for both is to be had. The request was not sent. Without that repository it
	// may well succeed.
	ErrSourceRefused = errors.New("the token server grants no access to the source repository")
)

// Reasons of an *Error that callers do not need to tell apart.
var (
	errMalformed    = errors.New("the reply holds no usable token")
	errWrongHost    = errors.New("the target is on another registry")
	errRealmURL     = errors.New("the realm is no http or https URL with a host")
	errRealmUser    = errors.New("the realm carries user information")
	errRealmScheme  = errors.New("the realm of an https registry is http")
	errRedirect     = errors.New("the token server redirects too often")
	errRedirectTo   = errors.New("the token server redirects to a URL that may not be followed")
	errRedirectPost = errors.New("the token server redirects a request with a refresh token to another host")
)

// Error says why a request could not be authorized. It holds no password, no token, and no query of a URL.
//
// It matches ErrUnauthorized and ErrDenied by its Status, and what Err matches, in particular the errors of
// a context, of the network, and ErrSourceRefused.
type Error struct {
	Op         string   // what failed: "credential", "challenge" or "token"
	Host       string   // the registry, with its port if it has one
	Realm      string   // host of the token server, "" before it is known
	Scope      string   // what was asked for, in the form of Scope.String
	Status     int      // HTTP status of the token server, 0 when it did not answer
	Codes      []string // error codes in its answer, "DENIED"; its messages are left out
	RetryAfter string   // its Retry-After header as it stands, "" without one
	Err        error    // the reason when it is not the status, or nil
}

// Error names the operation, the hosts, the scope, and the status and codes or the reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("auth: " + e.Op + " for " + e.Host)
	if e.Realm != "" {
		b.WriteString(" from " + e.Realm)
	}
	if e.Scope != "" {
		b.WriteString(" (" + e.Scope + ")")
	}
	if e.Status != 0 {
		b.WriteString(": " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status))
	}
	if len(e.Codes) > 0 {
		b.WriteString(": " + strings.Join(e.Codes, ", "))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is ErrUnauthorized or ErrDenied and fits the Status.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	case ErrDenied:
		return e.Status == http.StatusForbidden
	}
	return false
}

// Temporary reports whether the token server answered that it cannot serve now: 408, 429 or 5xx. The same
// request may succeed later, after RetryAfter if that is given.
func (e *Error) Temporary() bool {
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// refused reports whether err is a token server's no to what was asked. Docker Hub answers 400 or 401,
// Google's registries 403.
func refused(err error) bool {
	var e *Error
	return errors.As(err, &e) &&
		(e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}

// withoutURL takes the *url.Error wrappers off err: their text holds a URL with its query.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
