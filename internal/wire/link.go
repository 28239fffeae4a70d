package wire

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// NextLink returns the next page of a list, from a Link header with rel="next" (RFC 8288), resolved
// against the URL of the request that it answers. ok is false when there is none.
//
// The next page is on the same host: a link to another host is refused. The scheme of the request is
// kept, because registries behind a TLS proxy write http.
func NextLink(request *url.URL, h http.Header) (next *url.URL, ok bool) {
	for _, value := range h.Values("Link") {
		s := scanner{text: value}
		for s.pos < len(s.text) {
			target, rel := s.link()
			if !slices.Contains(strings.Fields(strings.ToLower(rel)), "next") {
				continue
			}
			ref, err := url.Parse(target)
			if err != nil {
				return nil, false
			}
			u := request.ResolveReference(ref)
			if u.Opaque != "" || u.User != nil || u.Host != request.Host || u.Scheme != "http" && u.Scheme != "https" {
				return nil, false
			}
			u.Scheme, u.Fragment, u.RawFragment = request.Scheme, "", ""
			return u, true
		}
	}
	return nil, false
}

// link reads one <target>; name=value; … up to the comma behind it.
func (s *scanner) link() (target, rel string) {
	s.until("<")
	if s.peek() != '<' {
		return "", ""
	}
	s.pos++
	target = s.until(">")
	for s.pos < len(s.text) {
		s.until(";,")
		if s.peek() != ';' {
			s.skip(",")
			break
		}
		s.skip("; \t")
		name := strings.TrimSpace(s.until("=;,"))
		if s.peek() != '=' {
			continue
		}
		s.pos++
		s.skip(" \t")
		value := s.linkValue()
		if strings.EqualFold(name, "rel") && rel == "" {
			rel = value
		}
	}
	return target, rel
}

// linkValue reads a quoted string, or a token up to the next parameter or link.
func (s *scanner) linkValue() string {
	if s.peek() == '"' {
		return s.value()
	}
	return strings.TrimSpace(s.until(";,"))
}
