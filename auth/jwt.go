package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

const maxClaims = 256 // entries of an access claim that are read

// granted reads the access claim of a token that is a JWT (RFC 7519) in compact form. ok is false when there
// is no such claim to read: the token is opaque. The signature is not checked: the claim says what the token
// server believes, and only the registry's answer counts in the end.
func granted(token string) (s Scope, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Scope{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Scope{}, false
	}
	var claims struct {
		Access *[]struct {
			Type    string   `json:"type"`
			Name    string   `json:"name"`
			Actions []string `json:"actions"`
		} `json:"access"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Access == nil {
		return Scope{}, false
	}
	sets := map[string][]string{}
	list := *claims.Access
	for _, a := range list[:min(len(list), maxClaims)] {
		if a.Type != "repository" || a.Name == "" {
			continue
		}
		for _, action := range a.Actions {
			if validAction(action) {
				sets[a.Name] = append(sets[a.Name], action)
			}
		}
	}
	return build("", sets), true
}
