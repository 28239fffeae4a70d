package registries

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/crossmount/crossmount/internal/e2e/traffic"
	"github.com/crossmount/crossmount/internal/registrytest"
)

// Password is that of every user.
const Password = "secret"

// Admin is a user of [Everybody] who may do everything.
const Admin = "admin"

const (
	service   = "e2e"
	tokenPath = "/token"
	issuer    = "e2e tokens"
	keyID     = "e2e"
	lifetime  = 5 * time.Minute
)

// User is what somebody may do.
type User struct {
	// May says whether an action, such as "pull", is allowed on a repository.
	May func(repository, action string) bool
	// Refused makes the server answer 403 to a request that asks for more than
	// is allowed. Otherwise the token is for less.
	Refused bool
}

// Everybody returns users of whom only Admin exists, who may do everything.
func Everybody() map[string]User {
	return map[string]User{Admin: {May: func(string, string) bool { return true }}}
}

// TokenServer hands out tokens that it signs.
type TokenServer struct {
	// Realm is its URL.
	Realm string
	// Log has the requests to it.
	Log *traffic.Log

	users  map[string]User
	key    *ecdsa.PrivateKey
	signer jose.Signer
	stop   func() // of what serve began
}

// access is an entry of the claim of the same name.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// NewTokenServer returns a server of tokens for users by name.
func NewTokenServer(users map[string]User) (*TokenServer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: keyID}}, nil)
	if err != nil {
		return nil, err
	}
	return &TokenServer{Log: new(traffic.Log), users: users, key: key, signer: signer, stop: func() {}}, nil
}

// serve gives the server a port of its own.
func (s *TokenServer) serve() error {
	mux := http.NewServeMux()
	mux.Handle(tokenPath, s.Log.Handler(s))
	host, unserve, err := registrytest.Serve(mux)
	if err != nil {
		return err
	}
	s.Realm, s.stop = "http://"+host+tokenPath, unserve
	return nil
}

// Keys returns the key that tokens are verified with, as a JSON Web Key Set.
func (s *TokenServer) Keys() []byte {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"}}}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err) // a key of this kind has a JSON form
	}
	return text
}

// ServeHTTP answers requests for tokens, by GET with Basic credentials and by
// POST with a grant of type password.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, password, ok := r.BasicAuth()
	scopes := r.URL.Query()["scope"]
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		name, password, ok = r.PostFormValue("username"), r.PostFormValue("password"), true
		scopes = strings.Fields(r.PostFormValue("scope"))
	}
	user, known := s.users[name]
	if !ok || !known || password != Password {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "who are you?")
		return
	}
	granted, all := grant(user, scopes)
	if !all && user.Refused {
		refuse(w, http.StatusForbidden, "DENIED", "not all of that")
		return
	}
	token, err := s.token(name, granted)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may have gone away
		"token": token, "access_token": token, "expires_in": int(lifetime.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

// grant returns what of the scopes the user may have, and whether that is all.
func grant(user User, scopes []string) (granted []access, all bool) {
	granted, all = []access{}, true
	for _, scope := range scopes {
		for _, one := range strings.Fields(scope) {
			parts := strings.Split(one, ":")
			if len(parts) != 3 || parts[0] != "repository" {
				all = false
				continue
			}
			wanted := strings.Split(parts[2], ",")
			allowed := slices.DeleteFunc(slices.Clone(wanted), func(action string) bool { return !user.May(parts[1], action) })
			all = all && len(allowed) == len(wanted)
			if len(allowed) > 0 {
				granted = append(granted, access{Type: parts[0], Name: parts[1], Actions: allowed})
			}
		}
	}
	return granted, all
}

// token signs a token for what was granted.
func (s *TokenServer) token(user string, granted []access) (string, error) {
	now := time.Now()
	return jwt.Signed(s.signer).Claims(jwt.Claims{
		Issuer: issuer, Subject: user, Audience: jwt.Audience{service},
		Expiry: jwt.NewNumericDate(now.Add(lifetime)), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), IssuedAt: jwt.NewNumericDate(now),
	}).Claims(map[string]any{"access": granted}).Serialize()
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message) // the client may have gone away
}
