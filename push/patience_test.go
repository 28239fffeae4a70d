package push_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// TestTokenRunsOutInQueue: three pushes of one Pusher, with uploads that take longer
// than a token lives.
func TestTokenRunsOutInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{Life: time.Minute})
		r := registrytest.New(registrytest.Behaviour{Auth: tokens.Auth("https://auth.example/token")})
		slow, _ := registrytest.SlowUploads(r, 65*time.Second)
		p := pusher(t, alice(), push.WithTransport(registrytest.Network{faultHost: slow, "auth.example": tokens}), push.WithStall(10*time.Minute))
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				img := image(t, fmt.Sprint(i), layers(fmt.Sprint("l", i, "-"), 8, 100<<10)...)
				if _, err := p.Push(context.Background(), img, ref(t, faultHost, fmt.Sprintf("app%d:v1", i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// TestSlowCommit: a registry takes 90 s to commit a blob, and gives up when the
// client does.
func TestSlowCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		var puts atomic.Int32
		slow := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == "PUT" && strings.Contains(q.URL.Path, "/uploads/") {
				puts.Add(1)
				body, err := io.ReadAll(q.Body)
				if err != nil {
					t.Error(err)
				}
				q.Body = io.NopCloser(bytes.NewReader(body))
				select {
				case <-time.After(90 * time.Second):
				case <-q.Context().Done():
					panic(http.ErrAbortHandler)
				}
			}
			r.ServeHTTP(w, q)
		})
		net := registrytest.Network{faultHost: slow}
		img := image(t, "a", layers("l", 1, 100<<10)...)
		began := time.Now()
		_, err := pusher(t, push.WithTransport(net), push.WithConcurrency(1)).Push(context.Background(), img, ref(t, faultHost, "app:v1"))
		if n := puts.Load(); err != nil || n != 2 {
			t.Errorf("after %v and %d PUTs, of which 2 are needed: %v", time.Since(began), n, err)
		}
		if err := remote.Write(ref(t, faultHost, "plain:v1"), img, remote.WithTransport(net), remote.WithJobs(1)); err != nil {
			t.Errorf("plain client: %v", err)
		}
	})
}

// TestNoCommit: a registry that never answers an upload is given up before long, and
// the error says why.
func TestNoCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		r.Inject(registrytest.Fault{Do: registrytest.Stall, Match: func(e registrytest.Entry) bool { return e.Kind == wire.UploadFinish }})
		began := time.Now()
		_, err := pusher(t, push.WithTransport(registrytest.Network{faultHost: r})).Push(context.Background(), image(t, "a", layer("l", 100<<10)), ref(t, faultHost, "app:v1"))
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "no byte went either way") || took > 10*time.Minute {
			t.Errorf("after %v: %v\n%s", took, err, strings.Join(r.Lines(), "\n"))
		}
	})
}

// TestRetryAfterZero: a registry that says Retry-After: 0 for two seconds.
func TestRetryAfterZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		until := time.Now().Add(2 * time.Second)
		limited := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if time.Now().Before(until) {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(429)
				return
			}
			r.ServeHTTP(w, q)
		})
		net := registrytest.Network{faultHost: limited}
		img := image(t, "a", layers("l", 3, 100<<10)...)
		began := time.Now()
		if _, err := pusher(t, push.WithTransport(net)).Push(context.Background(), img, ref(t, faultHost, "app:v1")); err != nil {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		until = time.Now().Add(2 * time.Second)
		if err := remote.Write(ref(t, faultHost, "plain:v1"), img, remote.WithTransport(net)); err != nil {
			t.Errorf("plain client: %v", err)
		}
	})
}

// TestShortOutage: 502 for 4 s from the PUT of the manifest on, as when a registry
// is restarted behind its proxy, fails no push, as it fails none of ggcr's.
func TestShortOutage(t *testing.T) {
	failed, plain := 0, 0
	const rounds = 50
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{})
			var until time.Time
			outage := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if until.IsZero() && q.Method == "PUT" && strings.Contains(q.URL.Path, "/manifests/") {
					until = time.Now().Add(3900 * time.Millisecond)
				}
				if time.Now().Before(until) {
					w.WriteHeader(502)
					return
				}
				r.ServeHTTP(w, q)
			})
			net := registrytest.Network{faultHost: outage}
			img := image(t, "a", layers("l", 1, 100<<10)...)
			if _, err := pusher(t, push.WithTransport(net), push.WithConcurrency(1)).Push(context.Background(), img, ref(t, faultHost, "app:v1")); err != nil {
				failed++
			}
			until = time.Time{}
			if err := remote.Write(ref(t, faultHost, "plain:v1"), img, remote.WithTransport(net), remote.WithJobs(1)); err != nil {
				plain++
			}
		})
	}
	if failed > plain {
		t.Errorf("%d of %d pushes failed, %d of ggcr", failed, rounds, plain)
	}
}
