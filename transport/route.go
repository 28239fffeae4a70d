package transport

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/crossmount/crossmount/internal/netguard"
	"github.com/crossmount/crossmount/internal/wire"
)

// maxRedirects bounds how many redirects one request follows.
const maxRedirects = 5

// redirected says whether an answer sends the request on. Methods are kept: an
// upload that became a GET would be of no use.
func redirected(status int, header http.Header) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return header.Get("Location") != ""
	}
	return false
}

// location returns the URL of the session that an answer hands out.
func (r *Repository) location(a Answer) (*url.URL, error) {
	u, err := wire.ResolveLocation(a.url, a.header.Get("Location"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return r.host.vet(u)
}

// redirect returns where an answer sends the request on. Unlike that of a
// session, the query stays whole: it may be that of a mount.
func (r *Repository) redirect(a Answer) (*url.URL, error) {
	text := a.header.Get("Location")
	u, err := wire.ResolveLocation(a.url, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if whole, err := a.url.Parse(text); err == nil {
		u.RawQuery = whole.RawQuery
	}
	return r.host.vet(u)
}

// vet says where a Location or redirect to u may go. A registry that is spoken
// to by https is not left for http: on its own host the scheme is put right,
// since registries behind a proxy that terminates TLS do not know better
// (distribution); on any other host it is refused. So is an address to which no
// registry may lead, which need not be dialled to know it.
func (h *Host) vet(u *url.URL) (*url.URL, error) {
	if u.User != nil {
		return nil, fmt.Errorf("%w: a URL with credentials in it", ErrForeign)
	}
	root := h.root()
	addr, err := netip.ParseAddr(u.Hostname())
	if err == nil && u.Hostname() != root.Hostname() && !netguard.Allowed(netguard.Loopback, netguard.ClassOf(addr)) {
		return nil, fmt.Errorf("%w: %s address %s", ErrForeign, netguard.ClassOf(addr), addr)
	}
	if root.Scheme != "https" || u.Scheme == "https" {
		return u, nil
	}
	standard := &url.URL{Scheme: "http", Host: root.Hostname()} // where a proxy has lost the port
	if u.Host != root.Host && authority(u) != authority(standard) {
		return nil, fmt.Errorf("%w: from https to http at %s", ErrForeign, u.Host)
	}
	secure := *u
	secure.Scheme, secure.Host = "https", root.Host
	return &secure, nil
}
