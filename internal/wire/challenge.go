package wire

import (
	"net/http"
	"strings"
)

const maxChallenges = 16 // challenges of one answer

// Challenge is one challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1). Its values come
// from the registry and are not checked.
type Challenge struct {
	Scheme  string // in lower case: "bearer", "basic"
	Realm   string
	Service string
	Scope   string
	Error   string            // RFC 6750: "insufficient_scope", "invalid_token"
	Params  map[string]string // all parameters by name in lower case; the first of each name
}

// ParseChallenges reads the challenges of an answer, in order, at most 16. Several may stand in one
// header or in several. What cannot be read is left out; it never fails.
func ParseChallenges(h http.Header) []Challenge {
	var all []Challenge
	for _, value := range h.Values("WWW-Authenticate") {
		s := scanner{text: value}
		for len(all) < maxChallenges {
			c, ok := s.challenge()
			if !ok {
				break
			}
			all = append(all, c)
		}
	}
	return all
}

// scanner reads one header value from left to right.
type scanner struct {
	text string
	pos  int
}

func (s *scanner) skip(chars string) {
	for s.pos < len(s.text) && strings.IndexByte(chars, s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// until reads up to one of the chars or the end.
func (s *scanner) until(chars string) string {
	start := s.pos
	for s.pos < len(s.text) && strings.IndexByte(chars, s.text[s.pos]) < 0 {
		s.pos++
	}
	return s.text[start:s.pos]
}

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// challenge reads a scheme and its parameters.
func (s *scanner) challenge() (Challenge, bool) {
	scheme := ""
	for scheme == "" {
		s.skip(" \t,=\"")
		if s.pos == len(s.text) {
			return Challenge{}, false
		}
		scheme = s.until(" \t,=\"")
		if s.peek() == '=' {
			// A parameter without a scheme before it.
			s.pos++
			s.value()
			scheme = ""
		}
	}
	s.token68()
	c := Challenge{Scheme: strings.ToLower(scheme), Params: map[string]string{}}
	for s.param(c.Params) {
	}
	c.Realm, c.Service = c.Params["realm"], c.Params["service"]
	c.Scope, c.Error = c.Params["scope"], c.Params["error"]
	return c, true
}

// token68 skips a lone word behind a scheme, as in "Negotiate YWJj": data that no scheme of ours uses.
func (s *scanner) token68() {
	start := s.pos
	s.skip(" \t")
	s.until(" \t,=\"")
	s.skip(" \t")
	if s.pos < len(s.text) && s.peek() != ',' {
		s.pos = start
	}
}

// param reads one name=value into params. It gives false, and moves nowhere, where the next challenge or
// the end is.
func (s *scanner) param(params map[string]string) bool {
	start := s.pos
	s.skip(" \t,")
	name := s.until(" \t,=\"")
	s.skip(" \t")
	if name == "" || s.peek() != '=' {
		s.pos = start
		return false
	}
	s.pos++
	if c := s.peek(); c == '=' || c == ',' || c == 0 {
		s.until(",") // an empty value, or a token68 with padding
		return true
	}
	s.skip(" \t")
	value := s.value()
	name = strings.ToLower(name)
	if _, seen := params[name]; !seen {
		params[name] = value
	}
	return true
}

// value reads a token or a quoted string. Unquoted values may hold any characters up to a comma or space.
func (s *scanner) value() string {
	if s.peek() != '"' {
		return s.until(" \t,")
	}
	s.pos++
	var b strings.Builder
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '"':
			return b.String()
		case c == '\\' && s.pos < len(s.text):
			c = s.text[s.pos]
			s.pos++
		}
		b.WriteByte(c)
	}
	return b.String()
}
