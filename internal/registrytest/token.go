package registrytest

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TokenBehaviour is the behaviour of a TokenServer. The zero value is a conforming server of the token and
// OAuth2 specifications of distribution, which lets everybody do everything, signs JWTs that live five minutes,
// and leaves out of a token what its owner may not do.
type TokenBehaviour struct {
	// Users may have a token by name. Nil: every name and password will do, and may do everything.
	Users map[string]TokenUser
	// Anonymous is what a request without credentials may do, if Users is set: scopes as in TokenUser.
	Anonymous []string
	// CredentialsNeeded answers 401 to requests without credentials.
	CredentialsNeeded bool

	// RefuseForeign refuses, with this status, a request as a whole when its owner may not do everything that
	// it asks for: 400 and 401 Docker Hub, 403 Google's registries.
	RefuseForeign int
	// RefuseImpossible answers 400 when a scope names a repository of more than two components: Docker Hub.
	RefuseImpossible bool
	// RefuseRepeated answers 400 to more than one scope parameter: artifact-keeper.
	RefuseRepeated bool
	// FirstOnly grants the first scope only: docker_auth, Portus.
	FirstOnly bool
	// LastOnly grants the last scope only.
	LastOnly bool

	// Opaque tokens say nothing to a client: GHCR.
	Opaque bool
	// Life of a token, in whole seconds; 0 is five minutes.
	Life time.Duration
	// OmitExpiresIn leaves expires_in out of the answer, which then means 60 seconds.
	OmitExpiresIn bool
	// Skew is how far the registry's clock is ahead of the token server's. A negative one makes new tokens
	// not valid yet.
	Skew time.Duration

	// NoOAuth2 is the status of every POST: 404 by the specification, 405 in fact.
	NoOAuth2 int
	// FailFirst answers FailStatus (0: 500) to so many requests, from the next one on.
	FailFirst  int
	FailStatus int
	// RetryAfter is sent with FailStatus.
	RetryAfter string
	// Delay is waited before each answer, or until the client goes away.
	Delay time.Duration
}

// TokenUser is a user of a token server.
type TokenUser struct {
	Password string
	// IdentityToken is a refresh token for OAuth2, "" for none.
	IdentityToken string
	// Access are the scopes that the user may have: "team/app:pull,push". A name that ends in "*" stands for
	// all names that begin so.
	Access []string
}

// TokenService is the service name of every TokenServer.
const TokenService = "registrytest"

// TokenServer is an in-process token server. It is safe for concurrent use.
type TokenServer struct {
	mu        sync.Mutex // guards all fields below
	behaviour TokenBehaviour
	key       []byte
	opaque    map[string]claims // tokens that are not JWTs
	serial    int
	entries   []*TokenEntry
}

// NewTokenServer returns a token server without tokens.
func NewTokenServer(b TokenBehaviour) *TokenServer {
	return &TokenServer{behaviour: b, key: newKey(), opaque: map[string]claims{}}
}

// StartTokenServer serves a new token server on loopback until the test ends, and returns it with the URL of
// its realm.
func StartTokenServer(t TB, b TokenBehaviour) (s *TokenServer, realm string) {
	t.Helper()
	s = NewTokenServer(b)
	host, closeServer, err := Serve(s)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	t.Cleanup(closeServer)
	return s, "http://" + host + "/token"
}

// SetBehaviour changes the behaviour for the requests to come.
func (s *TokenServer) SetBehaviour(change func(*TokenBehaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.behaviour)
}

// Auth makes a registry that has it send clients to this server, at realm, and take its tokens.
func (s *TokenServer) Auth(realm string) *Auth {
	return &Auth{Realm: realm, Service: TokenService, Verify: s.Verify}
}

// Revoke makes all tokens that were handed out invalid.
func (s *TokenServer) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = newKey()
	s.opaque = map[string]claims{}
}

// TokenEntry is one request as a token server saw it.
type TokenEntry struct {
	Seq       int // order of arrival, from 1
	Method    string
	User      string      // "" for anonymous
	Service   string      // as it came
	Scopes    []string    // the scope parameters as they came
	Granted   []string    // what the token permits
	Status    int         // 0 while there is no reply, and for good when the client went away before
	UserAgent string      // User-Agent header
	Header    http.Header // a copy of the request's
}

// Log returns the requests so far in order of arrival, those under way included.
func (s *TokenServer) Log() []TokenEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]TokenEntry, len(s.entries))
	for i, e := range s.entries {
		entries[i] = *e
	}
	return entries
}

// ResetLog forgets the log, not the tokens.
func (s *TokenServer) ResetLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = nil
}

// Count is how many requests are in the log.
func (s *TokenServer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// Lines returns the log as text, a line for each request, with "-" for a user or status that there is not:
//
//	GET token alice app:pull,push base:pull 200
func (s *TokenServer) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := make([]string, len(s.entries))
	for i, e := range s.entries {
		lines[i] = e.line()
	}
	return lines
}

func (e *TokenEntry) line() string {
	words := []string{e.Method, "token", cmp.Or(e.User, "-")}
	for _, scope := range e.Scopes {
		words = append(words, strings.ReplaceAll(scope, "repository:", ""))
	}
	status := "-"
	if e.Status != 0 {
		status = strconv.Itoa(e.Status)
	}
	return strings.Join(append(words, status), " ")
}
