package transport

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/crossmount/crossmount/internal/registrytest"
)

const (
	password  = "hunter2-is-no-secret-here"
	identity  = "identity-token-0123456789"
	signature = "c2lnbmF0dXJl-of-storage"
)

// transcript collects what a caller may see: log lines and errors.
type transcript struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// everything makes each kind of request, and writes down what comes of it.
func (w *transcript) everything(ctx context.Context, r *Repository) {
	note := func(a Answer) {
		fmt.Fprintf(w, "%v\n%+v\n%#v\n", a.Failure(), a.Failure(), a.Failure())
		for err := a.Err; err != nil; {
			fmt.Fprintf(w, "%v\n%+v\n", err, err)
			u, ok := err.(interface{ Unwrap() error })
			if !ok {
				break
			}
			err = u.Unwrap()
		}
	}
	for _, c := range calls() {
		note(c.run(ctx, r))
	}
	d, body := content(pattern(1000))
	for _, form := range []string{"put", "stream", "cancel"} {
		a, s := r.Start(ctx, d)
		note(a)
		switch {
		case s == nil:
		case form == "cancel":
			note(s.Cancel(ctx))
		default:
			note(send(ctx, s, form, d, body))
		}
	}
}

// credentials are the ways in which a caller may have access.
func credentials() map[string]authn.AuthConfig {
	return map[string]authn.AuthConfig{
		"password":       {Username: "alice", Password: password},
		"wrong password": {Username: "alice", Password: password + "-but-wrong"},
		"identity token": {IdentityToken: identity},
	}
}

// No credential, token or signed query occurs in an error or a log line of a
// whole run, however it goes.
func TestNoSecretIsTold(t *testing.T) {
	faults := []registrytest.FaultKind{
		0, 301, 401, 429, registrytest.Refuse, registrytest.CutReply, registrytest.NotHTTP, registrytest.SessionGone, registrytest.Stall,
	}
	for _, scheme := range []string{"Basic", "Bearer"} {
		for name, credential := range credentials() {
			t.Run(scheme+" "+name, func(t *testing.T) {
				server := secretive(t, scheme)
				var told transcript
				for _, fault := range faults {
					if fault != 0 {
						server.Registry.Inject(registrytest.Fault{Skip: 3, Do: fault})
					}
					r := newRepository(t, server.Host, "app", nil, func(c *Config) {
						c.Keychain = keychain{authn.FromConfig(credential)}
						c.Logger = slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
						c.Retry = Retry{Attempts: 2, Base: time.Millisecond}
					})
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					if fault == registrytest.Stall {
						ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
					}
					told.everything(ctx, r)
					cancel()
					server.Registry.ClearFaults()
				}
				if went := strings.Contains(told.text.String(), "status=201"); went != (name == "password" || name+scheme == "identity tokenBearer") {
					t.Errorf("an upload went well: %v", went)
				}
				wantUntold(t, told.text.String(), secrets(server.Registry, credential))
			})
		}
	}
}

// secretive is a registry whose session URLs are signed, with Basic
// authorization or tokens.
func secretive(t *testing.T, scheme string) *registrytest.Server {
	t.Helper()
	server := registrytest.Start(t, registrytest.Behaviour{LocationForm: registrytest.LocationStateQuery})
	auth := &registrytest.Auth{Users: map[string]string{"alice": password}}
	if scheme == "Bearer" {
		tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
			Users: map[string]registrytest.TokenUser{"alice": {
				Password: password, IdentityToken: identity, Access: []string{"app:pull,push", "base:pull"},
			}},
		})
		auth = tokens.Auth(realm + "?sig=" + signature)
	}
	server.Registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth = auth })
	return server
}

// secrets are what must not be told: what was given, and what came by the wire.
func secrets(registry *registrytest.Registry, c authn.AuthConfig) []string {
	all := []string{password, identity, signature, "_state", base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))}
	for _, e := range registry.Log() {
		if _, value, ok := strings.Cut(e.Header.Get("Authorization"), " "); ok {
			all = append(all, value, value[len(value)/2:])
		}
	}
	return all
}

// wantUntold checks that none of the secrets is in the text.
func wantUntold(t *testing.T, text string, secrets []string) {
	t.Helper()
	if !strings.Contains(text, "msg=request") || !strings.Contains(text, "status=401") {
		t.Fatalf("the log is not what it was: %.2000s", text)
	}
	for _, secret := range secrets {
		if at := strings.Index(text, secret); at >= 0 {
			t.Fatalf("%q is told: …%s…", secret, text[max(0, at-300):min(len(text), at+len(secret)+50)])
		}
	}
}

// Nor do the credentials in a Location or redirect, or its query, occur where
// it is refused.
func TestNoSecretOfALocationIsTold(t *testing.T) {
	for _, status := range []int{http.StatusAccepted, http.StatusTemporaryRedirect} {
		for _, base := range []string{
			"http://bob:" + password + "@127.0.0.1/", "http://169.254.169.254/", "http://10.0.0.7:1/", "http://%zz/", "ftp://127.0.0.1/", "//[::1/",
		} {
			s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", base+"upload?sig="+signature)
				w.WriteHeader(status)
			})
			var told transcript
			r := newRepository(t, s.host, "app", refusing{}, func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			told.everything(t.Context(), r)
			for _, secret := range []string{password, signature, "bob"} {
				if strings.Contains(told.text.String(), secret) {
					t.Errorf("%d to %s: %q is told: %s", status, base, secret, told.text.String())
				}
			}
			if told.text.Len() == 0 {
				t.Error("nothing was told")
			}
		}
	}
}

// refusing reaches loopback alone.
type refusing struct{}

func (refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Hostname() != "127.0.0.1" {
		return nil, registrytest.ErrNoHost
	}
	return http.DefaultTransport.RoundTrip(req)
}
