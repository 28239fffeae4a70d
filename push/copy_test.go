package push_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// stand is a registry that notes when its references came to stand.
type stand struct {
	*registrytest.Registry
	host  string
	began time.Time

	// mu guards stood.
	mu    sync.Mutex
	stood map[string]time.Duration // by repository and tag
}

// ServeHTTP serves a request and notes what it made stand.
func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Registry.ServeHTTP(w, r)
	req, err := wire.Parse(r.Method, r.URL)
	if err != nil || req.Kind != wire.ManifestPut || s.Complete(req.Repository, req.Reference) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := req.Repository + ":" + req.Reference; s.stood[key] == 0 {
		s.stood[key] = time.Since(s.began)
	}
}

// last returns when the last reference came to stand.
func (s *stand) last() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last time.Duration
	for _, at := range s.stood {
		last = max(last, at)
	}
	return last
}

// copying is an image on a source registry, and the registries that it goes to.
type copying struct {
	source  *registrytest.Registry
	image   push.Image
	network registrytest.Network
	targets []*stand
	refs    []name.Reference
}

const copySource = "source.example"

// newCopying puts an image of n layers of the given size on a source, and
// returns it as ggcr pulls it, with a reference on each of the targets.
func newCopying(t *testing.T, n, size int, targets ...registrytest.Behaviour) *copying {
	c := &copying{source: registrytest.New(registrytest.Behaviour{Latency: 10 * time.Millisecond})}
	c.network = registrytest.Network{copySource: c.source}
	for i, b := range targets {
		s := &stand{Registry: registrytest.New(b), host: fmt.Sprintf("target%d.example", i+1), began: time.Now(), stood: map[string]time.Duration{}}
		c.targets = append(c.targets, s)
		c.network[s.host] = s
		c.refs = append(c.refs, ref(t, s.host, "app:v1"))
	}
	seed(t, c.source, "app", "v1", image(t, "copy", layers("copy", n, size)...))
	img, err := remote.Image(ref(t, copySource, "app:v1"), remote.WithTransport(c.network))
	if err != nil {
		t.Fatal(err)
	}
	c.image = img
	return c
}

// push pushes the image to all targets.
func (c *copying) push(t *testing.T, opts ...push.Option) (*push.Report, error) {
	opts = append(opts, push.WithTransport(c.network))
	return pusher(t, opts...).Push(context.Background(), c.image, c.refs...)
}

// reads returns how often each blob was read from the source.
func (c *copying) reads() map[digest.Digest]int {
	reads := map[digest.Digest]int{}
	for _, e := range c.source.Log() {
		if e.Kind == wire.BlobGet {
			reads[e.Digest]++
		}
	}
	return reads
}

// atMost fails the test if a blob was read more than n times, or not all of them
// were read.
func (c *copying) atMost(t *testing.T, blobs, n int) {
	t.Helper()
	reads := c.reads()
	if len(reads) != blobs {
		t.Errorf("%d blobs were read, want %d", len(reads), blobs)
	}
	for d, got := range reads {
		if got > n {
			t.Errorf("%s was read %d times, want at most %d", d, got, n)
		}
	}
}

// complete fails the test for each target on which the image does not stand.
func (c *copying) complete(t *testing.T, targets ...*stand) {
	t.Helper()
	for _, s := range targets {
		if err := s.Complete("app", "v1"); err != nil {
			t.Errorf("%s: %v", s.host, err)
		}
		for _, v := range s.Violations() {
			t.Errorf("%s: the specification forbids: %s", s.host, v)
		}
	}
}

// TestCopy: each blob of an image is read from its source once, for however many
// registries, where they can keep pace.
func TestCopy(t *testing.T) {
	const ms, mb = time.Millisecond, 1 << 20
	for _, c := range []struct {
		name    string
		targets []registrytest.Behaviour
		opts    []push.Option
	}{
		{"one", []registrytest.Behaviour{{}}, nil},
		{"three alike", []registrytest.Behaviour{{}, {}, {}}, nil},
		{"three at distances", []registrytest.Behaviour{{Latency: 5 * ms}, {Latency: 15 * ms}, {Latency: 25 * ms}}, nil},
		{"three with links", []registrytest.Behaviour{{BytesPerSecond: 20 * mb}, {BytesPerSecond: 20 * mb, Latency: 10 * ms}, {BytesPerSecond: 22 * mb}}, nil},
		{"one at a time", []registrytest.Behaviour{{}, {Latency: 5 * ms}}, []push.Option{push.WithConcurrency(1)}},
		{"forced", []registrytest.Behaviour{{}, {}}, []push.Option{push.WithForceUpload()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newCopying(t, 6, 3*mb, c.targets...)
				report, err := x.push(t, c.opts...)
				if err != nil {
					t.Fatal(err)
				}
				x.complete(t, x.targets...)
				x.atMost(t, 7, 1)
				t.Logf("took %v for %d bytes", time.Since(x.targets[0].began), report.Sent)
			})
		})
	}
}

// TestCopyIndex: the same holds for an index, whose images share layers.
func TestCopyIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCopying(t, 1, 100, registrytest.Behaviour{}, registrytest.Behaviour{Latency: time.Millisecond})
		s := &stage{Server: &registrytest.Server{Registry: x.source, Host: copySource}, base: layers("base", 6, layerSize)}
		if _, err := pusher(t, push.WithTransport(x.network)).Push(t.Context(), platforms(t, s, 4), ref(t, copySource, "all:v1")); err != nil {
			t.Fatal(err)
		}
		idx, err := remote.Index(ref(t, copySource, "all:v1"), remote.WithTransport(x.network))
		if err != nil {
			t.Fatal(err)
		}
		x.image = idx
		if _, err := x.push(t); err != nil {
			t.Fatal(err)
		}
		x.complete(t, x.targets...)
		x.atMost(t, 14, 1)
	})
}

// TestCopyBesideIndex: the config of an image, which is read to compare its
// platform with those of an index behind the tag, is not read again.
func TestCopyBesideIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCopying(t, 1, 100, registrytest.Behaviour{}, registrytest.Behaviour{Latency: time.Millisecond})
		p := pusher(t, push.WithTransport(x.network))
		if _, err := p.Push(t.Context(), multi(t, 1, true, "s390x", "riscv64", "386", "amd64", "ppc64le"), x.refs...); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Push(t.Context(), onPlatform(t, 2, "arm64"), ref(t, copySource, "app:v2")); err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref(t, copySource, "app:v2"), remote.WithTransport(x.network))
		if err != nil {
			t.Fatal(err)
		}
		x.image = img
		x.source.ResetLog()
		if _, err := x.push(t); err != nil {
			t.Fatal(err)
		}
		x.complete(t, x.targets...)
		x.atMost(t, 7, 1)
	})
}

// TestCopySlow: a registry that is slow holds the others back for no longer than
// it may.
func TestCopySlow(t *testing.T) {
	const mb = 1 << 20
	fast, slow := registrytest.Behaviour{BytesPerSecond: 4 * mb}, registrytest.Behaviour{BytesPerSecond: mb / 4}
	var alone time.Duration
	synctest.Test(t, func(t *testing.T) {
		x := newCopying(t, 6, 3*mb, fast)
		if _, err := x.push(t); err != nil {
			t.Fatal(err)
		}
		alone = x.targets[0].last()
	})
	synctest.Test(t, func(t *testing.T) {
		x := newCopying(t, 6, 3*mb, fast, slow, fast)
		if _, err := x.push(t); err != nil {
			t.Fatal(err)
		}
		x.complete(t, x.targets...)
		x.atMost(t, 7, 3)
		for _, s := range x.targets {
			t.Logf("%s took %v; alone %v", s.host, s.last(), alone)
		}
		for _, s := range []*stand{x.targets[0], x.targets[2]} {
			if most := (alone + time.Second) * 8 / 7; s.last() > most {
				t.Errorf("%s took %v, alone %v: want at most %v", s.host, s.last(), alone, most)
			}
		}
	})
}

// TestCopyDies: a registry that dies in the middle, or hangs, does not disturb
// the others.
func TestCopyDies(t *testing.T) {
	const mb = 1 << 20
	uploads := func(e registrytest.Entry) bool { return e.Kind == wire.UploadFinish || e.Kind == wire.UploadChunk }
	for name, f := range map[string]registrytest.Fault{
		"gone in the middle":      {Do: registrytest.Refuse, Skip: 12},
		"hangs in the middle":     {Do: registrytest.Stall, Skip: 12},
		"takes no content":        {Do: registrytest.Refuse, Match: uploads},
		"content is cut":          {Do: registrytest.CutBody, Match: uploads, Skip: 2, Times: 4},
		"everything is too large": {Do: registrytest.Status(413), Match: uploads},
		"was never there":         {Do: registrytest.Refuse},
		"hangs from the start":    {Do: registrytest.Stall},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := registrytest.Behaviour{BytesPerSecond: 4 * mb, Latency: 5 * time.Millisecond}
				x := newCopying(t, 5, 2*mb, b, b, b)
				x.targets[1].Inject(f)
				report, err := x.push(t, push.WithStall(10*time.Second))
				dies := f.Times == 0
				var e *push.Error
				if dies && (!errors.As(err, &e) || !strings.HasPrefix(e.Ref, x.targets[1].host)) || !dies && err != nil {
					t.Errorf("error %v", err)
				}
				if report.Refs[1].Stands == dies || !report.Refs[0].Stands || !report.Refs[2].Stands {
					t.Errorf("report %s", report)
				}
				x.complete(t, x.targets[0], x.targets[2])
				for _, s := range []*stand{x.targets[0], x.targets[2]} {
					if most := 4500 * time.Millisecond; s.last() > most { // 10 MB at 4 MB a second, and what it may be held back
						t.Errorf("%s took %v, more than %v", s.host, s.last(), most)
					}
				}
				t.Logf("the others took %v and %v, all %v", x.targets[0].last(), x.targets[2].last(), time.Since(x.targets[0].began))
			})
		})
	}
}

// TestCopyMemory: what is in memory does not grow with the layers.
func TestCopyMemory(t *testing.T) {
	const size, most = 12 << 20, 16 << 20
	c := registrytest.Behaviour{DiscardAbove: 1}
	x := newCopying(t, 4, size, c, c, c)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	done := make(chan error)
	go func() {
		_, err := x.push(t)
		done <- err
	}()
	var peak uint64
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if grown := int64(peak) - int64(before); grown > most {
				t.Errorf("the heap grew by %d bytes while %d were pushed to each of 3 registries, more than %d", grown, 4*size, most)
			} else {
				t.Logf("the heap grew by %d bytes", grown)
			}
			return
		case <-time.After(5 * time.Millisecond):
			peak = max(peak, live())
		}
	}
}

// TestCopySourceBreaks: a source that breaks off in the middle of a layer is read
// again by each that sends it.
func TestCopySourceBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCopying(t, 4, 3<<20, registrytest.Behaviour{}, registrytest.Behaviour{}, registrytest.Behaviour{})
		x.source.Inject(registrytest.Fault{Do: registrytest.CutReply, Times: 1, Skip: 1, Match: func(e registrytest.Entry) bool { return e.Kind == wire.BlobGet }})
		if _, err := x.push(t); err != nil {
			t.Fatal(err)
		}
		x.complete(t, x.targets...)
		most, sum := 0, 0
		for _, n := range x.reads() {
			most, sum = max(most, n), sum+n
		}
		if most != 4 || sum != 5+3 {
			t.Errorf("one blob was read %d times, all together %d times", most, sum)
		}
	})
}

// TestCopyCancelled: the end of a push ends the reading of its source.
func TestCopyCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := registrytest.Behaviour{BytesPerSecond: 1 << 20}
		x := newCopying(t, 6, 3<<20, b, b, b)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := pusher(t, push.WithTransport(x.network)).Push(ctx, x.image, x.refs...)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(x.targets[0].began); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestPromoteReadsNothing: an image that was pulled from a registry goes to
// another repository of it without a byte of a layer.
func TestPromoteReadsNothing(t *testing.T) {
	for name, b := range map[string]registrytest.Behaviour{
		"conforming":       {},
		"no discovery 404": {MountStatus: 404, MountScope: registrytest.MountsWithoutFrom},
	} {
		for _, tags := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d repositories", name, tags), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { promote(t, b, tags) })
			})
		}
	}
}

func promote(t *testing.T, b registrytest.Behaviour, repositories int) {
	x := newCopying(t, 6, 300<<10)
	x.source.SetBehaviour(func(old *registrytest.Behaviour) { *old = b })
	for i := range repositories {
		x.refs = append(x.refs, ref(t, copySource, fmt.Sprintf("promoted%d:v1", i)))
	}
	report, err := x.push(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range x.refs {
		if err := x.source.Complete(r.Context().RepositoryStr(), "v1"); err != nil {
			t.Error(err)
		}
	}
	config, err := x.image.(v1.Image).ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	reads := x.reads()
	delete(reads, digest.Digest(config.String()))
	if len(reads) > 0 || report.Sent > 10<<10 { // the config is sent where it cannot be mounted
		t.Errorf("%d layers were read, %d bytes sent", len(reads), report.Sent)
	}
}
