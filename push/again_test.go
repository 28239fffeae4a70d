package push_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// front serves r, but for the requests that own answers.
func front(t *testing.T, r http.Handler, own func(w http.ResponseWriter, req *http.Request) bool) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !own(w, req) {
			r.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestTagParamsFail: a PUT of several tags that fails, in whatever way, leaves each
// tag to be put alone.
func TestTagParamsFail(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{{404, ""}, {400, `{"errors":[{"code":"MANIFEST_INVALID"}]}`}, {400, `{"errors":[{"code":"DIGEST_INVALID"}]}`}, {500, ""}} {
		t.Run(fmt.Sprint(c.status, c.body), func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{})
			host := front(t, r, func(w http.ResponseWriter, req *http.Request) bool {
				own := req.Method == http.MethodPut && req.URL.Query().Has("tag")
				if own {
					_, _ = io.Copy(io.Discard, req.Body)
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
				}
				return own
			})
			var refs []name.Reference
			for i := range 8 {
				refs = append(refs, ref(t, host, fmt.Sprint("app:v", i)))
			}
			if _, err := pusher(t, push.WithRetry(transport.Retry{Base: time.Millisecond})).Push(context.Background(), image(t, "a", layer("a", 1000)), refs...); err != nil {
				t.Errorf("%s", strings.SplitN(err.Error(), "\n", 2)[0])
			}
		})
	}
}

// busyOnce is a layer that cannot be opened the first time.
type busyOnce struct {
	v1.Layer
	opened *atomic.Int32
}

func (o busyOnce) Compressed() (io.ReadCloser, error) {
	if o.opened.Add(1) == 1 {
		return nil, errors.New("source is busy")
	}
	return o.Layer.Compressed()
}

// TestOpenedLate: a layer that could be opened after all is sent as often as any.
func TestOpenedLate(t *testing.T) {
	for _, status := range []int{500, 413} {
		srv := registrytest.Start(t, registrytest.Behaviour{})
		l := busyOnce{layer("a", layerSize), new(atomic.Int32)}
		d, _ := l.Digest()
		srv.Registry.Inject(registrytest.Fault{Do: registrytest.Status(status), Times: 1, Match: func(e registrytest.Entry) bool {
			return e.Kind == wire.UploadFinish && e.Digest.String() == d.String()
		}})
		if _, err := pusher(t).Push(context.Background(), image(t, "a", l), ref(t, srv.Host, "app:v1")); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// TestStrictTwice: of two strict pushes of one image, the second finds what the
// first has sent.
func TestStrictTwice(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{Latency: 20 * time.Millisecond, BytesPerSecond: 4 << 20})
	p := pusher(t, push.WithStrictChecks())
	img := image(t, "a", layers("a", 3, 1<<20)...)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			if _, err := p.Push(context.Background(), img, ref(t, srv.Host, fmt.Sprint("app:v", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := srv.Registry.Count().BytesTwice; n > 0 {
		t.Errorf("%d bytes twice", n)
	}
}

// TestRepairCancelled: a repair that is cancelled leaves blobs that nobody takes
// for mounted, neither its report nor a push that waits for them.
func TestRepairCancelled(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{PhantomMount: -1, MissingBlobs: registrytest.MissingUnnamed})
	base := layer("base", layerSize)
	seed(t, srv.Registry, "base", "v1", image(t, "base", base))
	p := pusher(t)
	ctx, cancel := context.WithCancel(context.Background())
	puts, stalled := 0, make(chan struct{}, 9)
	srv.Registry.Inject(registrytest.Fault{Do: registrytest.Stall, Times: 1, Match: func(e registrytest.Entry) bool {
		if e.Kind == wire.ManifestPut {
			puts++
		}
		hit := puts > 0 && e.Kind == wire.UploadFinish && e.Repository == "app"
		if hit {
			stalled <- struct{}{}
		}
		return hit
	}})
	first, second := make(chan *push.Report, 1), make(chan *push.Report, 1)
	go func() {
		r, _ := p.Push(ctx, image(t, "one", mountableFrom(base, ref(t, srv.Host, "base:v1"))), ref(t, srv.Host, "app:v1"))
		first <- r
	}()
	<-stalled
	srv.Registry.SetBehaviour(func(b *registrytest.Behaviour) { b.PhantomMount, b.MountAlways202 = 0, true })
	go func() {
		r, err := p.Push(context.Background(), image(t, "two", base), ref(t, srv.Host, "app:v2"))
		if err != nil {
			t.Error(err)
		}
		second <- r
	}()
	time.Sleep(300 * time.Millisecond)
	cancel()
	if b := (<-first).Blobs[0]; b.Disposition == mount.Mounted {
		t.Errorf("the push that was cancelled reports as mounted, %d bytes saved, what HEAD has said is not there", b.Saved)
	}
	if r := <-second; r.Repaired > 0 {
		t.Errorf("the push that waited for it put a manifest whose blob is not there\n%s", strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestSparseRefusedOnce: an index is put again whose children stand, whoever holds
// them.
func TestSparseRefusedOnce(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	child := image(t, "amd", layer("amd", 1000))
	seed(t, srv.Registry, "app", "child", child)
	srv.Registry.Inject(registrytest.Fault{Do: registrytest.Status(404), Times: 1, Match: func(e registrytest.Entry) bool {
		return e.Kind == wire.ManifestPut && e.Reference == "v1"
	}})
	if _, err := pusher(t).Push(context.Background(), without(t, indexOf(child), contents(t, child)...), ref(t, srv.Host, "app:v1")); err != nil {
		t.Error(err)
	}
}

// TestLookShowsNothing: what cannot be read of the tag is no reason to fail.
func TestLookShowsNothing(t *testing.T) {
	for _, do := range []http.HandlerFunc{
		func(w http.ResponseWriter, req *http.Request) { _, _ = w.Write(make([]byte, 17<<20)) },
		func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, req.URL.String(), http.StatusTemporaryRedirect)
		},
	} {
		host := front(t, registrytest.New(registrytest.Behaviour{}), func(w http.ResponseWriter, req *http.Request) bool {
			own := req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/manifests/v1")
			if own {
				do(w, req)
			}
			return own
		})
		if _, err := pusher(t).Push(context.Background(), image(t, "a", layer("a", 1000)), ref(t, host, "app:v1")); err != nil {
			t.Error(err)
		}
	}
}

// TestTagParamsOutage: what fails in an outage says nothing of what the host takes.
func TestTagParamsOutage(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{TagParams: true})
	p := pusher(t, push.WithRetry(transport.Retry{Attempts: 2, Base: time.Millisecond}))
	if _, err := p.Push(context.Background(), image(t, "0", layer("a", 1<<10)), tagged(t, srv.Host, "app0", 8)...); err != nil {
		t.Fatal(err)
	}
	srv.Registry.Inject(registrytest.Fault{
		Match: func(e registrytest.Entry) bool { return e.Kind == wire.ManifestPut }, Times: 7, Do: registrytest.Status(503),
	})
	_, _ = p.Push(context.Background(), image(t, "1", layer("a", 1<<10)), tagged(t, srv.Host, "app1", 8)...)
	srv.Registry.ClearFaults()
	if _, err := p.Push(context.Background(), image(t, "2", layer("a", 1<<10)), tagged(t, srv.Host, "app2", 8)...); err != nil {
		t.Fatal(err)
	}
	if n := len(manifestPuts(srv.Registry, "app2")); n != 1 {
		t.Errorf("%d manifests put for eight tags, want 1", n)
	}
}
