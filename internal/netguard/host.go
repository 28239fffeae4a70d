package netguard

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// An endpoint is a host with its port: where a URL leads.
type endpoint struct {
	host string // lower case; an IP address in its canonical form, without brackets
	port string // "" in an endpoint without a scheme: the scheme's own port
}

// endpointOf parses host[:port], the name of a registry.
func endpointOf(hostport string) endpoint {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.Trim(hostport, "[]"), ""
	}
	return endpoint{canonical(host), port}
}

// matches reports whether u leads to e over HTTP.
func (e endpoint) matches(u *url.URL) bool {
	standard := schemePort(u.Scheme)
	if standard == "" || canonical(u.Hostname()) != e.host {
		return false
	}
	port := e.port
	if port == "" {
		port = standard
	}
	return portOf(u) == port
}

// canonical gives one spelling to all spellings of a host that are the same
// without a look-up.
func canonical(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(host)
}

// schemePort gives the default port of an HTTP scheme, else "".
func schemePort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// portOf gives the port to which u leads.
func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return schemePort(u.Scheme)
}

// firstHop is what net/http reports as the first hop of a request to u that
// goes through no proxy.
func firstHop(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), portOf(u))
}

// classOfName gives the class of a host that needs no look-up: an address, or
// a name that always means one. Any other name is Unknown.
func classOfName(host string) (Class, netip.Addr) {
	name := strings.ToLower(strings.TrimRight(host, "."))
	if addr, err := netip.ParseAddr(name); err == nil {
		return ClassOf(addr), addr
	}
	switch name {
	case "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback":
		return Loopback, netip.Addr{}
	case "metadata.google.internal", "metadata.goog":
		return Metadata, netip.Addr{}
	}
	if strings.HasSuffix(name, ".localhost") { // RFC 6761 section 6.3
		return Loopback, netip.Addr{}
	}
	return Unknown, netip.Addr{}
}

// readsAsAddress reports whether some resolver may take host for an IPv4
// address although it is not written as one: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
// As in the URL standard, that is a host whose last label is a number; no
// top-level domain is one.
func readsAsAddress(host string) bool {
	name := strings.TrimRight(strings.ToLower(host), ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// printableASCII reports whether host holds only what a host in a URL may hold
// (RFC 3986 section 3.2.2). Others are mapped before they are dialled: full-width
// digits become an address.
func printableASCII(host string) bool {
	for i := range len(host) {
		if host[i] <= ' ' || host[i] > '~' {
			return false
		}
	}
	return true
}
