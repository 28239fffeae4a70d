package auth_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// unauthorized is a 401 to a request for u with the given challenge.
func unauthorized(t *testing.T, u, challenge string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Response{
		StatusCode: http.StatusUnauthorized,
		Header:     http.Header{"Www-Authenticate": {challenge}},
		Body:       http.NoBody,
		Request:    req,
	}
}

func TestRealmIsChecked(t *testing.T) {
	tests := []struct {
		name, registry, realm string
		ok                    bool
	}{
		{"https", "https://registry.test/v2/", "https://tokens.test/token", true},
		{"http of an http registry", "http://registry.test/v2/", "http://tokens.test/token", true},
		{"https of an http registry", "http://registry.test/v2/", "https://tokens.test/token", true},
		{"http of an https registry", "https://registry.test/v2/", "http://tokens.test/token", false},
		{"user information", "https://registry.test/v2/", "https://u:p@tokens.test/token", false},
		{"user without password", "https://registry.test/v2/", "https://u@tokens.test/token", false},
		{"another scheme", "https://registry.test/v2/", "ftp://tokens.test/token", false},
		{"file", "https://registry.test/v2/", "file:///etc/passwd", false},
		{"relative", "https://registry.test/v2/", "/token", false},
		{"no host", "https://registry.test/v2/", "https:///token", false},
		{"opaque", "https://registry.test/v2/", "https:token", false},
		{"no URL", "https://registry.test/v2/", "https://[::1/%zz", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{})
			again, err := w.host.Challenged(t.Context(), unauthorized(t, tt.registry, `Bearer realm="`+tt.realm+`"`), push(t, "app"))
			var e *auth.Error
			if again != tt.ok || (err == nil) != tt.ok || !tt.ok && (!errors.As(err, &e) || e.Op != "challenge" || e.Host != registryHost) {
				t.Errorf("again %v, %v", again, err)
			}
			if err != nil && strings.Contains(err.Error(), "u:p") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Only the registry itself gets the header, and only its challenges count.
func TestOtherHosts(t *testing.T) {
	secure, err := name.NewRegistry("secure.test")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		registry name.Registry
		url      string
		own      bool
	}{
		{registry(t), "http://registry.test/v2/", true},
		{registry(t), "https://registry.test/v2/", true},
		{registry(t), "http://REGISTRY.test:80/v2/", true},
		{registry(t), "http://registry.test:8080/v2/", false},
		{registry(t), "https://registry.test:80/v2/", false},
		{registry(t), "http://sub.registry.test/v2/", false},
		{registry(t), "http://storage.test/v2/", false},
		{secure, "https://secure.test/v2/", true},
		{secure, "https://secure.test:443/v2/", true},
		{secure, "http://secure.test/v2/", false},
		{secure, "http://secure.test:443/v2/", false},
	}
	for _, tt := range tests {
		t.Run(tt.registry.RegistryStr()+" "+tt.url, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{})
			config := w.config(t)
			config.Registry = tt.registry
			w.host = auth.New(config)
			need := auth.Need{Target: tt.registry.Repo("app"), Must: auth.Push("app")}
			again, err := w.host.Challenged(t.Context(), unauthorized(t, tt.url, `Basic realm="x"`), need)
			if again != tt.own || err != nil {
				t.Errorf("a challenge from there: again %v, %v", again, err)
			}
			own := tt.registry.Scheme() + "://" + tt.registry.RegistryStr()
			if _, err := w.host.Challenged(t.Context(), unauthorized(t, own, `Basic realm="x"`), need); err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequest(http.MethodGet, tt.url, nil)
			req.Header.Set("Authorization", "Bearer of-another-request")
			if err := w.host.Authorize(t.Context(), req, need); err != nil {
				t.Fatal(err)
			}
			header := req.Header.Get("Authorization")
			if strings.HasPrefix(header, "Basic ") != tt.own || header == "Bearer of-another-request" {
				t.Errorf("a request there carries %q", header)
			}
		})
	}
}

// recorder notes what arrives at a host of a redirecting token server.
type recorder struct {
	mu       sync.Mutex // guards the fields below
	requests []*http.Request
	bodies   []string
	answer   http.HandlerFunc
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.requests = append(r.requests, req)
	r.bodies = append(r.bodies, string(body))
	r.mu.Unlock()
	r.answer(w, req)
}

// A token server that redirects takes no credentials along: not to another host, port or scheme, nor back.
func TestRedirectsOfTheTokenServer(t *testing.T) {
	const identity = "identity-" + password
	basic := keychain(authn.AuthConfig{Username: "alice", Password: password})
	refresh := keychain(authn.AuthConfig{IdentityToken: identity})
	token := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"token":"t"}`)) }
	tests := []struct {
		name     string
		keychain keychain
		status   int
		to       func(home, other string) string
		arrives  string // "credential", "bare" or "" for not at all
	}{
		{"same host", basic, 307, func(home, _ string) string { return home + "/end" }, "credential"},
		{"relative", basic, 302, func(_, _ string) string { return "/end" }, "credential"},
		{"other port", basic, 307, func(_, other string) string { return other + "/end" }, "bare"},
		{"other port, 302", basic, 302, func(_, other string) string { return other + "/end" }, "bare"},
		{"other port and back", basic, 307, func(_, other string) string { return other + "/back" }, "bare"},
		{"user information", basic, 307, func(_, other string) string { return strings.Replace(other, "http://", "http://u:p@", 1) + "/end" }, ""},
		{"another scheme", basic, 307, func(_, _ string) string { return "ftp://127.0.0.1/end" }, ""},
		{"for ever", basic, 307, func(_, _ string) string { return "/token" }, ""},
		{"refresh token, same host", refresh, 307, func(home, _ string) string { return home + "/end" }, "credential"},
		{"refresh token, other port", refresh, 307, func(_, other string) string { return other + "/end" }, ""},
		{"refresh token, other port, 302", refresh, 302, func(_, other string) string { return other + "/end" }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			end := &recorder{answer: token}
			home, other := http.NewServeMux(), http.NewServeMux()
			homeServer, otherServer := httptest.NewServer(home), httptest.NewServer(other)
			defer homeServer.Close()
			defer otherServer.Close()
			home.Handle("/end", end)
			other.Handle("/end", end)
			other.Handle("/back", http.RedirectHandler(homeServer.URL+"/end", http.StatusTemporaryRedirect))
			home.Handle("/token", http.RedirectHandler(tt.to(homeServer.URL, otherServer.URL), tt.status))

			w := newWorld(t, registrytest.TokenBehaviour{})
			config := w.config(t)
			config.Keychain, config.Transport = tt.keychain, homeServer.Client().Transport
			w.host = auth.New(config)
			w.network[registryHost] = challenger(func(h string) bool { return h == "Bearer t" },
				func(string) []string { return []string{`Bearer realm="` + homeServer.URL + `/token"`} })
			a := w.upload(t, push(t, "app", "base"))
			checkSecrets(t, w, a.err)
			if tt.arrives == "" {
				var e *auth.Error
				if !errors.As(a.err, &e) || e.Op != "token" || len(end.requests) != 0 {
					t.Errorf("%v, %d requests at the end", a, len(end.requests))
				}
				return
			}
			wantAnswer(t, "upload", a, 2, 202)
			if len(end.requests) != 1 {
				t.Fatalf("%d requests at the end", len(end.requests))
			}
			carries := end.requests[0].Header.Get("Authorization") != "" || strings.Contains(end.bodies[0], identity)
			if carries != (tt.arrives == "credential") || end.requests[0].Referer() != "" {
				t.Errorf("it carries a credential: %v, header %v", carries, end.requests[0].Header)
			}
		})
	}
}

// An https token server does not lead to http.
func TestRedirectDowngrade(t *testing.T) {
	end := &recorder{answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"token":"t"}`)) }}
	plain := httptest.NewServer(end)
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusTemporaryRedirect))
	defer secure.Close()
	w := newWorld(t, registrytest.TokenBehaviour{})
	config := w.config(t)
	config.Transport = secure.Client().Transport
	w.host = auth.New(config)
	w.network[registryHost] = challenger(func(string) bool { return false },
		func(string) []string { return []string{`Bearer realm="` + secure.URL + `/token"`} })
	if a := w.upload(t, push(t, "app")); a.err == nil || len(end.requests) != 0 {
		t.Errorf("%v, %d requests over http", a, len(end.requests))
	}
}

// checkSecrets fails if a secret is in err or in the log.
func checkSecrets(t *testing.T, w *world, err error) {
	t.Helper()
	text := w.logged.String()
	if err != nil {
		text += "\n" + err.Error()
	}
	for _, secret := range []string{password, "YWxpY2U6", "signature-of-realm", "SECRETVALUE", "eyJ", "Bearer ", "Basic "} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in:\n%s", secret, text)
		}
	}
}

// No secret gets into an error or a log line, whatever a token server says.
func TestNoSecretsInErrorsAndLogs(t *testing.T) {
	say := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, pass, _ := r.BasicAuth()
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.NewReplacer("$U", user, "$P", pass, "$A", r.Header.Get("Authorization")).Replace(body))
		})
	}
	tests := map[string]http.Handler{
		"password in a message":      say(401, `{"errors":[{"code":"UNAUTHORIZED","message":"$U:$P","detail":"$A"}]}`),
		"password in a code":         say(403, `{"errors":[{"code":"$P","message":"$A"}]}`),
		"password in a text":         say(400, `no such user: $U:$P $A`),
		"password as a status 500":   say(500, `$A`),
		"no token but the password":  say(200, `{"access":"$P","refresh_token":"$P"}`),
		"no JSON":                    say(200, `$P`),
		"token that breaks a header": say(200, `{"token":"SECRETVALUE\r\nX-Evil: 1"}`),
		"token that is not ASCII":    say(200, `{"token":"SECRETVALUEé"}`),
		"too large":                  say(200, `{"token":"SECRETVALUE`+strings.Repeat("x", 2<<20)+`"}`),
		"a good one":                 registrytest.NewTokenServer(registrytest.TokenBehaviour{}),
		"a good one, opaque":         registrytest.NewTokenServer(registrytest.TokenBehaviour{Opaque: true}),
		"a broken connection":        http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"a broken reply": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"token":"SECRETVALUE`)
			panic(http.ErrAbortHandler)
		}),
		"a broken refusal": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
			panic(http.ErrAbortHandler)
		}),
		"a redirect with the signature": http.RedirectHandler("ftp://x/?signature-of-realm", http.StatusFound),
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, registrytest.TokenBehaviour{})
			w.registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth.Realm = realm + "?sig=signature-of-realm" })
			if tokens, ok := handler.(*registrytest.TokenServer); ok {
				w.registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth.Verify = tokens.Verify })
			}
			w.network[tokenHost] = handler
			a := w.upload(t, push(t, "app", "base"))
			var e *auth.Error
			if good := strings.HasPrefix(name, "a good one"); good != (a.err == nil) ||
				!good && (!errors.As(a.err, &e) || e.Status == 0 && e.Err == nil) {
				t.Errorf("%v", a)
			}
			checkSecrets(t, w, a.err)
			w.tokens.Revoke()
			checkSecrets(t, w, w.mount(t, push(t, "app"), "base").err)
			if w.logged.Len() == 0 {
				t.Error("nothing was logged")
			}
		})
	}
}

// The query of a realm is its own, and goes with every request.
func TestRealmQuery(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	var seen []string
	w.network[tokenHost] = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.URL.Query().Get("account")+" "+strings.Join(r.URL.Query()["scope"], " "))
		w.tokens.ServeHTTP(rw, r)
	})
	w.registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth.Realm = realm + "/deep?account=robot%26x" })
	wantAnswer(t, "upload", w.upload(t, push(t, "app")), 2, 202)
	if want := "/token/deep robot&x repository:app:pull,push"; len(seen) != 1 || seen[0] != want {
		t.Errorf("got %q, want %q", seen, want)
	}
}

// Challenged reads nothing but 401s.
func TestOtherAnswers(t *testing.T) {
	w := newWorld(t, registrytest.TokenBehaviour{})
	for _, status := range []int{200, 202, 307, 403, 404, 429, 500} {
		resp := unauthorized(t, "http://"+registryHost+"/v2/", `Basic realm="x"`)
		resp.StatusCode = status
		if again, err := w.host.Challenged(t.Context(), resp, push(t, "app")); again || err != nil {
			t.Errorf("%d: again %v, %v", status, again, err)
		}
	}
	resp := unauthorized(t, "http://"+registryHost+"/v2/", `Basic realm="x"`)
	resp.Request = nil
	if again, err := w.host.Challenged(t.Context(), resp, push(t, "app")); again || err != nil {
		t.Errorf("no request: again %v, %v", again, err)
	}
	a := w.send(t.Context(), wire.Request{Kind: wire.Ping}, auth.Need{})
	wantAnswer(t, "ping", a, 2, 200)
}
