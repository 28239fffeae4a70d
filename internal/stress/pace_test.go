package stress_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// paceHost is where the registry is that these tests reach without a network:
// time is synctest's, so that they are exact.
const paceHost = "registry.example"

// paceLayers is how many layers an image has: half as many with the race detector,
// under which the plans of so many blobs take long.
func paceLayers(n int) int {
	if raceEnabled {
		return n / 2
	}
	return n
}

// paced is a registry that takes some time, behind a gauge.
func paced(latency time.Duration, bytesPerSecond int64) (*registrytest.Registry, *gauge) {
	r := registrytest.New(registrytest.Behaviour{Latency: latency, BytesPerSecond: bytesPerSecond})
	return r, newGauge(r.Client())
}

// TestPaceHeedsRegistry pushes to a registry that refuses what comes above some
// requests at once. Fewer are in flight then; and more again once it takes them.
func TestPaceHeedsRegistry(t *testing.T) {
	const concurrency, limit = 16, 4
	layers := makeLayers(t, 6, paceLayers(300), 40<<10)
	for _, tt := range []struct {
		status     int
		retryAfter string
	}{
		{http.StatusTooManyRequests, ""}, {http.StatusTooManyRequests, "1"},
		{http.StatusServiceUnavailable, ""}, {http.StatusServiceUnavailable, "1"},
	} {
		t.Run(strings.TrimSpace(fmt.Sprint(tt.status, " ", tt.retryAfter)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := paced(20*time.Millisecond, 0)
				g.status, g.retryAfter = tt.status, tt.retryAfter
				g.lap(limit)
				done := make(chan error, 1)
				p := pusher(t, push.WithTransport(g), push.WithConcurrency(concurrency))
				img := mustImage(t, "app", layers)
				go func() {
					_, err := p.Push(context.Background(), img, reference(t, paceHost, "app:v1"))
					done <- err
				}()
				half := func() bool { return r.Count().Bytes > int64(len(layers)/2)*layers[0].Bytes || len(done) > 0 }
				for !half() {
					time.Sleep(10 * time.Millisecond)
				}
				limited := g.lap(0)
				if err := <-done; err != nil {
					t.Error(err)
				}
				free := g.lap(0)
				t.Logf("limit %d of %d: %d of %d refused, %.1f on the wire in the mean, %v; then %d refused, %.1f in the mean, %d at most, %v",
					limit, concurrency, limited.refused, limited.requests, limited.average(), limited.last.Sub(limited.began),
					free.refused, free.average(), free.peak, free.last.Sub(free.began))
				if limited.refused == 0 || limited.refused*4 > limited.requests {
					t.Errorf("%d of %d requests were refused", limited.refused, limited.requests)
				}
				if limited.average() > limit+1 {
					t.Errorf("%.1f requests on the wire in the mean", limited.average())
				}
				if free.peak < concurrency*3/4 || free.average() < limited.average() {
					t.Errorf("the pace did not grow again: %d on the wire at most, %.1f in the mean", free.peak, free.average())
				}
				if err := r.Complete("app", "v1"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestPaceLasts pushes many layers to a registry that never takes more than a few
// requests at once: that is no trouble that the push gives up on.
func TestPaceLasts(t *testing.T) {
	layers := makeLayers(t, 10, paceLayers(500), 20<<10)
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := paced(20*time.Millisecond, 0)
				g.status = status
				g.lap(3)
				p := pusher(t, push.WithTransport(g), push.WithConcurrency(32))
				if _, err := p.Push(context.Background(), mustImage(t, "app", layers), reference(t, paceHost, "app:v1")); err != nil {
					t.Error(err)
				}
				if err := r.Complete("app", "v1"); err != nil {
					t.Error(err)
				}
				all := g.all()
				t.Logf("%d of %d requests refused, %.1f on the wire in the mean, %v", all.refused, all.requests, all.average(), all.last.Sub(all.began))
				if all.refused < 61 {
					t.Errorf("only %d requests were refused: that is within one allowance of repeats", all.refused)
				}
			})
		})
	}
}

// TestLargestFirst holds the order in which blobs of different sizes are sent.
func TestLargestFirst(t *testing.T) {
	for _, concurrency := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var layers []layer
				for i := range 16 {
					layers = append(layers, makeLayers(t, uint64(100+i), 1, int64(i*7%16+1)<<17)...)
				}
				r, g := paced(20*time.Millisecond, 8<<20)
				p := pusher(t, push.WithTransport(g), push.WithConcurrency(concurrency))
				if _, err := p.Push(context.Background(), mustImage(t, "app", layers), reference(t, paceHost, "app:v1")); err != nil {
					t.Fatal(err)
				}
				var sizes []int64
				for _, e := range r.Log() {
					if e.Kind == wire.UploadFinish && e.Sent > 0 {
						sizes = append(sizes, e.Sent>>17)
					}
				}
				t.Log(sizes)
				if len(sizes) != len(layers)+1 {
					t.Errorf("%d blobs were sent", len(sizes))
				}
				first := min(len(sizes), (concurrency+1)/2) // of the largest, whichever was asked for first
				for _, size := range sizes[:first] {
					if size <= int64(len(layers)-concurrency) {
						t.Errorf("a blob of size %d is among the first", size)
					}
				}
				if !slices.IsSortedFunc(sizes[first:], func(a, b int64) int { return int(b - a) }) {
					t.Errorf("blobs were sent in the order of sizes %v", sizes)
				}
				if all := g.all(); all.peak > concurrency {
					t.Errorf("%d requests on the wire", all.peak)
				}
			})
		})
	}
}

// TestFairShare pushes two images at once with one Pusher, the second when the
// first is under way, which has five times as many layers and goes to four
// repositories. All is sent, so that there is always more to send than may be on
// the wire.
func TestFairShare(t *testing.T) {
	for _, concurrency := range []int{1, 3, 8} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { shared(t, concurrency) })
		})
	}
}

func shared(t *testing.T, concurrency int) {
	r, g := paced(20*time.Millisecond, 64<<20)
	p := pusher(t, push.WithTransport(g), push.WithConcurrency(concurrency), push.WithForceUpload())
	start := func(layers []layer, repos ...string) <-chan time.Duration {
		done := make(chan time.Duration, 1)
		img := mustImage(t, repos[0], layers)
		var refs []name.Reference
		for _, repo := range repos {
			refs = append(refs, reference(t, paceHost, repo+":v1"))
		}
		began := time.Now()
		go func() {
			if _, err := p.Push(context.Background(), img, refs...); err != nil {
				t.Error(err)
			}
			done <- time.Since(began)
		}()
		return done
	}
	alone := <-start(makeLayers(t, 9, 20, 64<<10), "alone")
	large := start(makeLayers(t, 7, 100, 64<<10), "large1", "large2", "large3", "large4")
	time.Sleep(300 * time.Millisecond)
	g.lap(0)
	small := <-start(makeLayers(t, 8, 20, 64<<10), "small")
	both := g.lap(0)
	whole := <-large
	all := g.all()
	t.Logf("20 layers take %v alone, %v beside 400, which take %v; while both were on the wire, for %v, they had %v; at most %d on the wire, %d with content",
		alone, small, whole, both.together, both.shares, all.peak, all.peakContent)
	if small > 3*alone {
		t.Errorf("the small push took %v beside another, and %v alone", small, alone)
	}
	share := float64(both.shares["small"]) / float64(both.shares["small"]+both.shares["large"])
	if concurrency > 1 && (share < 0.3 || share > 0.7) {
		t.Errorf("the small push had a share of %.2f", share)
	}
	if all.peak > concurrency || all.peakContent > (concurrency+1)/2 {
		t.Errorf("%d requests on the wire, %d with content, and %d are allowed", all.peak, all.peakContent, concurrency)
	}
	for _, repo := range []string{"large1", "large4", "small"} {
		if err := r.Complete(repo, "v1"); err != nil {
			t.Error(err)
		}
	}
}
