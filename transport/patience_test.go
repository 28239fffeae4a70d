package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// A token that runs out while an upload waits for its place is replaced before the
// upload goes out.
func TestTokenOfOneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{Life: time.Minute})
		registry := registrytest.New(registrytest.Behaviour{Auth: tokens.Auth("https://tokens.test/token")})
		slow, refused := registrytest.SlowUploads(registry, 65*time.Second)
		h := newHost(t, publicHost, registrytest.Network{publicHost: slow, "tokens.test": tokens}, func(c *Config) {
			c.Uploads, c.Stall, c.Retry = 1, time.Hour, Retry{}
		})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				d, body := content(pattern(1000 + i))
				wantStatus(t, "put", open(t, repositoryOf(t, h, "app"), d).Put(t.Context(), d, body), 201)
			})
		}
		wg.Wait()
		if n := refused.Load(); n > 0 {
			t.Errorf("%d uploads were refused", n)
		}
	})
}

// A token server that takes requests and never answers ends them in an error that
// says so, which is not the caller's deadline.
func TestTokenServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{Delay: 1000 * time.Hour})
		registry := registrytest.New(registrytest.Behaviour{Auth: tokens.Auth("https://tokens.test/token")})
		r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: registry, "tokens.test": tokens}, patient(Retry{}))
		ctx, stop := context.WithTimeout(t.Context(), 24*time.Hour)
		defer stop()
		began := time.Now()
		a := r.Check(ctx, digest.FromString("x"))
		if took := time.Since(began); took > time.Hour {
			t.Errorf("took %v: %v", took, a.Failure())
		}
		if err := a.Failure(); errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer") {
			t.Error(err)
		}
	})
}

// A Retry-After that is shorter than the trouble, be it 0, a date gone by, or
// GHCR's text, does not use up the attempts in no time.
func TestRetryAfterShort(t *testing.T) {
	for _, after := range []string{"0", "past", "text"} {
		t.Run(after, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				until := time.Now().Add(300 * time.Millisecond)
				n := 0
				limited := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if n++; !time.Now().Before(until) {
						return
					}
					switch after {
					case "0":
						w.Header().Set("Retry-After", "0")
					case "past":
						w.Header().Set("Retry-After", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
					}
					w.WriteHeader(429)
					fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 10.3ms, allowed: 2000/minute"}]}`)
				})
				r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: limited}, patient(Retry{}))
				began := time.Now()
				if a := r.Tags(t.Context(), 1); a.Status != 200 {
					t.Errorf("%v after %d requests in %v", a.Failure(), n, time.Since(began))
				}
			})
		})
	}
}

// A Retry-After date is by the registry's clock, here an hour ahead of ours.
func TestRetryAfterSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		skewed := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 1 {
				now := time.Now().Add(time.Hour).UTC()
				w.Header().Set("Date", now.Format(http.TimeFormat))
				w.Header().Set("Retry-After", now.Add(time.Second).Format(http.TimeFormat))
				w.WriteHeader(429)
			}
		})
		r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: skewed}, patient(Retry{}))
		wantStatus(t, "tags", r.Tags(t.Context(), 1), 200)
	})
}

// Passing troubles that proxies have codes of their own for.
func TestTransientCodes(t *testing.T) {
	for _, code := range []int{499, 520, 521, 522, 523, 524} {
		n := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 1 {
				w.WriteHeader(code)
				return
			}
			w.Header().Set("Location", "/v2/app/blobs/uploads/1")
			w.WriteHeader(202)
		})
		r := newRepository(t, publicHost, "app", registrytest.Network{publicHost: h}, patient(Retry{Base: time.Millisecond}))
		a, _ := r.Start(t.Context(), digest.FromString("x"))
		wantStatus(t, fmt.Sprint(code), a, 202)
	}
}

// Waiting for one of the few connections that a caller's transport allows is no
// stall.
func TestFewConnections(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", r.URL.Path+"session")
			w.WriteHeader(202)
			return
		}
		time.Sleep(400 * time.Millisecond)
		w.WriteHeader(201)
	})
	h := newHost(t, s.host, &http.Transport{MaxConnsPerHost: 1}, func(c *Config) { c.Stall = time.Second })
	var puts []func()
	for i := range 4 {
		d, body := content(pattern(1000 + i))
		session := open(t, repositoryOf(t, h, "app"), d)
		puts = append(puts, func() { wantStatus(t, "put", session.Put(t.Context(), d, body), 201) })
	}
	var wg sync.WaitGroup
	for _, put := range puts {
		wg.Go(put)
	}
	wg.Wait()
}

// A registry that says now and then that it is still at work (102) does not stall.
func TestProcessing(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 8 {
			time.Sleep(100 * time.Millisecond)
			w.WriteHeader(http.StatusProcessing)
		}
	})
	r := newRepository(t, s.host, "app", nil, func(c *Config) { c.Stall, c.Retry = 600*time.Millisecond, Retry{Attempts: 1} })
	wantStatus(t, "tags", r.Tags(t.Context(), 1), 200)
}

// A dialer that hangs, of whatever kind, is cut.
func TestHangingDialer(t *testing.T) {
	base := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	r := newRepository(t, publicHost, "app", base, func(c *Config) { c.Stall, c.Retry = 100*time.Millisecond, Retry{Attempts: 1} })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if a := r.Check(ctx, digest.FromString("blob")); ctx.Err() != nil || !errors.Is(a.Failure(), errStalled) {
		t.Error(a.Failure())
	}
}

// tripper is a RoundTripper that is a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A manifest has the time of a commit only once it is out: a connection that is
// not had is a stall like any.
func TestConnectBeforeCommit(t *testing.T) {
	for _, wrote := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			base := tripper(func(req *http.Request) (*http.Response, error) {
				if wrote {
					httptrace.ContextClientTrace(req.Context()).WroteRequest(httptrace.WroteRequestInfo{})
				}
				<-req.Context().Done()
				return nil, req.Context().Err()
			})
			r := newRepository(t, publicHost, "app", base, func(c *Config) { c.Stall, c.Retry = time.Minute, Retry{Attempts: 1} })
			began, want := time.Now(), time.Minute
			if wrote {
				want = 3 * time.Minute
			}
			r.PutManifest(t.Context(), "tag", indexV1, []byte(emptyIndex))
			if took := time.Since(began); took != want {
				t.Errorf("written %v: cut after %v", wrote, took)
			}
		})
	}
}
