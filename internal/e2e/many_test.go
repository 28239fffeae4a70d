package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/internal/e2e/traffic"
	"github.com/crossmount/crossmount/push"
)

// The pushes of TestManyPushes. Of the images, as many as sameRepository go to the
// same repository; each is pushed under several tags.
const (
	manyPushes     = 500
	manyImages     = 50
	sameRepository = 5
)

// TestManyPushes makes 500 pushes at once, of 50 images, through one Pusher to
// distribution: every blob is uploaded exactly once, all can be pulled, and
// neither goroutines nor memory stay behind.
func TestManyPushes(t *testing.T) {
	all := manyOf(t)
	carrier := http.DefaultTransport.(*http.Transport).Clone()
	defer carrier.CloseIdleConnections()
	p := pusher(t, registries.Anonymous(), push.WithConcurrency(16), push.WithTransport(carrier))
	goroutines, heap := runtime.NumGoroutine(), heapNow()

	began := time.Now()
	flood(t, p, all)
	took := time.Since(began)

	carrier.CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	after := settled(t.Context(), goroutines+5)
	left := heapNow() - heap
	runtime.KeepAlive(p)
	t.Logf("%v in all; %d goroutines before and %d after; %d KiB more on the heap", took.Round(time.Millisecond), goroutines, after, left>>10)
	if after > goroutines+5 {
		t.Errorf("%d goroutines before, %d after", goroutines, after)
	}
	if left > 8<<20 {
		t.Errorf("%d bytes stayed on the heap", left)
	}
}

// manyOf returns the images. All have two layers in common.
func manyOf(t *testing.T) []v1.Image {
	t.Helper()
	layer := func(name string) v1.Layer {
		l, err := images.LayerOf(name, 20<<10)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	base := []v1.Layer{layer("base1"), layer("base2")}
	all := make([]v1.Image, manyImages)
	for i := range all {
		var err error
		if all[i], err = images.Image(fmt.Sprint("many", i), base[0], base[1], layer(fmt.Sprint("many", i))); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// flood starts distribution, makes all pushes, checks what they brought, and ends
// the registry.
func flood(t *testing.T, p *push.Pusher, all []v1.Image) {
	server, err := registries.Distribution().Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	refs := make([]name.Reference, manyPushes)
	for i := range refs {
		refs[i] = ref(t, server, fmt.Sprintf("app%d:v%d", i%manyImages/sameRepository, i))
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i, r := range refs {
		wg.Go(func() {
			if _, err := p.Push(t.Context(), all[i%manyImages], r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sum := server.Log.Sum()
	t.Logf("%d pushes in %v: %d requests, %d bytes of blobs", manyPushes, time.Since(began).Round(time.Millisecond), sum.Requests, sum.Bytes)
	checkOnce(t, server.Log, sum, all)
	pullMany(t, refs, all)
}

// checkOnce checks that each blob of the images was uploaded exactly once, and
// nothing else.
func checkOnce(t *testing.T, log *traffic.Log, sum traffic.Sum, all []v1.Image) {
	t.Helper()
	uploads := map[string]int{}
	for _, e := range log.Entries() {
		query, err := url.ParseQuery(e.Query)
		if err != nil {
			t.Fatal(err)
		}
		if d := query.Get("digest"); e.Method == http.MethodPut && d != "" && e.Status == http.StatusCreated {
			uploads[d]++
		}
	}
	sizes := map[string]int64{}
	for _, img := range all {
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range append(m.Layers, m.Config) {
			sizes[b.Digest.String()] = b.Size
		}
	}
	var bytes int64
	for d, size := range sizes {
		bytes += size
		if uploads[d] != 1 {
			t.Errorf("%s was uploaded %d times", d, uploads[d])
		}
	}
	if len(uploads) != len(sizes) || sum.Bytes != bytes {
		t.Errorf("%d blobs and %d bytes were uploaded, want %d and %d", len(uploads), sum.Bytes, len(sizes), bytes)
	}
}

// pullMany checks the digest of every reference, and pulls each image once.
func pullMany(t *testing.T, refs []name.Reference, all []v1.Image) {
	t.Helper()
	puller, err := remote.NewPuller()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range refs {
		want, err := all[i%manyImages].Digest()
		if err != nil {
			t.Fatal(err)
		}
		got, err := puller.Head(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != want {
			t.Errorf("%s is %s, want %s", r, got.Digest, want)
		}
		if i < manyImages {
			if err := pullWithGGCR(t.Context(), r, want, registries.Anonymous(), false); err != nil {
				t.Error(err)
			}
		}
	}
}

// settled waits until there are at most so many goroutines, for five seconds at
// most, and returns how many there are.
func settled(ctx context.Context, most int) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for runtime.NumGoroutine() > most && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return runtime.NumGoroutine()
}

// heapNow returns how many bytes are in use.
func heapNow() int64 {
	runtime.GC()
	runtime.GC() // what finalizers of the first have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
