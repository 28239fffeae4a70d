package transport

import (
	"fmt"
	"net/http"
	"net/url"
)

// maxRedirects bounds how many redirects one request follows.
const maxRedirects = 5

// redirected says whether an answer sends the request on. Methods are kept: an upload that became a GET would be of no use.
func redirected(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// vet says where a Location or redirect to u may go. A registry that is spoken
// to by https is not left for http: on its own host the scheme is put right,
// since registries behind a proxy that terminates TLS do not know better
// (distribution); on any other host it is refused.
func (h *Host) vet(u *url.URL) (*url.URL, error) {
	if u.User != nil {
		return nil, fmt.Errorf("%w: a URL with credentials in it", ErrForeign)
	}
	root := h.root()
	if root.Scheme != "https" || u.Scheme == "https" {
		return u, nil
	}
	if u.Host != root.Host && u.Hostname() != root.Hostname() {
		return nil, fmt.Errorf("%w: from https to http at %s", ErrForeign, u.Host)
	}
	if u.Host != root.Host && u.Port() != "80" {
		return nil, fmt.Errorf("%w: from https to http at %s", ErrForeign, u.Host)
	}
	secure := *u
	secure.Scheme, secure.Host = "https", root.Host
	return &secure, nil
}
