package auth

import (
	"net/url"
	"strings"

	"github.com/crossmount/crossmount/internal/wire"
)

// challenge is what a registry asks for: Bearer with the realm and service of its token server, or Basic.
type challenge struct {
	bearer  bool
	realm   *url.URL // checked; nil for Basic
	service string
	scope   string
}

// choose picks the challenge to answer: Bearer where there is one with a realm, else Basic, else nil.
// Harbor offers both. secure says that the challenge came over https.
func choose(offered []wire.Challenge, secure bool) (*challenge, error) {
	var basic *challenge
	var unusable error
	for _, c := range offered {
		switch {
		case c.Scheme == "bearer" && c.Realm != "":
			realm, err := checkRealm(c.Realm, secure)
			if err != nil {
				unusable = err
				continue
			}
			return &challenge{bearer: true, realm: realm, service: c.Service, scope: c.Scope}, nil
		case c.Scheme == "basic" && basic == nil:
			basic = &challenge{}
		}
	}
	if basic != nil {
		return basic, nil
	}
	return nil, unusable
}

// checkRealm refuses realms that credentials must not go to whatever the network. Which addresses may be
// reached is decided where the connection is made.
func checkRealm(text string, secure bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return nil, errRealmURL
	case u.User != nil:
		return nil, errRealmUser
	case secure && u.Scheme != "https":
		return nil, errRealmScheme
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// errorOf returns the error parameter of the first challenge that has one (RFC 6750, section 3.1).
func errorOf(offered []wire.Challenge) string {
	for _, c := range offered {
		if c.Error != "" {
			return c.Error
		}
	}
	return ""
}

// origin returns scheme, host and port of u, in a form to compare.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" && u.Scheme == "https" {
		port = "443"
	}
	if port == "" && u.Scheme == "http" {
		port = "80"
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
