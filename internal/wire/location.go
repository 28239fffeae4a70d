package wire

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// LocationError says why a Location header is refused. Its text holds no part of the header, which may
// carry a signature.
type LocationError struct {
	Reason string
}

// Error gives the reason.
func (e *LocationError) Error() string {
	return fmt.Sprintf("wire: Location header refused: %s", e.Reason)
}

// ResolveLocation resolves a Location header against the URL of the request that it answers (the last
// one, when redirects were followed). Registries send relative paths (zot, olareg) and absolute URLs
// (distribution).
//
// The query is kept byte for byte, for it may be a signed state (distribution's _state), except that
// mount= and from= are cut out: old zot carried them over, and distribution refuses a PUT that has from=.
// A fragment is dropped. The result may be on another host or scheme than request; what may be sent there
// is the caller's decision.
//
// An empty header, a URL without a host, one that is neither http nor https, and one with user
// information are refused with a *LocationError.
func ResolveLocation(request *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, &LocationError{Reason: "it is empty"}
	}
	ref, err := url.Parse(location)
	if err != nil {
		return nil, &LocationError{Reason: "it is not a URL"}
	}
	u := request.ResolveReference(ref)
	switch {
	case u.Opaque != "":
		return nil, &LocationError{Reason: "it has no host and path"}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &LocationError{Reason: "its scheme is neither http nor https"}
	case u.Hostname() == "":
		return nil, &LocationError{Reason: "it has no host"}
	case ref.User != nil:
		return nil, &LocationError{Reason: "it carries user information"}
	case strings.ContainsFunc(u.RawQuery, func(r rune) bool { return r == ' ' || isControl(r) }):
		return nil, &LocationError{Reason: "its query has characters that a request line cannot carry"}
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.RawQuery = cutParams(u.RawQuery, "mount", "from")
	return u, nil
}

// WithDigest returns session with digest=d at the end of its query. Everything else stays byte for byte,
// but for a digest= that is already there: that is replaced. session is not changed.
func WithDigest(session *url.URL, d digest.Digest) *url.URL {
	u := *session
	u.RawQuery = cutParams(u.RawQuery, "digest")
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "digest=" + url.QueryEscape(d.String())
	return &u
}

// cutParams removes the parameters with one of keys from a raw query and leaves the others as they are.
func cutParams(raw string, keys ...string) string {
	if raw == "" {
		return ""
	}
	kept := slices.DeleteFunc(strings.Split(raw, "&"), func(param string) bool {
		key, _, _ := strings.Cut(param, "=")
		if plain, err := url.QueryUnescape(key); err == nil {
			key = plain
		}
		return slices.Contains(keys, key)
	})
	return strings.Join(kept, "&")
}
