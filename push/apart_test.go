package push_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// isUpload matches requests with content of a blob, and those that close an upload.
func isUpload(e registrytest.Entry) bool {
	return e.Kind == wire.UploadFinish || e.Kind == wire.UploadChunk || e.Kind == wire.UploadSingle
}

// sixBase puts an image of six layers into the repository base.
func sixBase(t *testing.T, r *registrytest.Registry) []v1.Layer {
	base := layers("base", 6, layerSize)
	seed(t, r, "base", "v1", image(t, "base", base...))
	return base
}

// TestQuota: what is too much for one repository (413) does not keep blobs from
// another.
func TestQuota(t *testing.T) {
	for _, size := range []int{1000, 3 << 20} {
		srv := registrytest.Start(t, registrytest.Behaviour{})
		srv.Registry.Inject(registrytest.Fault{Do: registrytest.Status(413), Match: func(e registrytest.Entry) bool {
			return e.Repository == "full" && isUpload(e)
		}})
		p := pusher(t)
		if _, err := p.Push(context.Background(), image(t, "a", layer("a", size)), ref(t, srv.Host, "full:v1")); err == nil {
			t.Fatal("no error")
		}
		srv.Registry.ResetLog()
		if _, err := p.Push(context.Background(), image(t, "b", layer("b", 4<<20)), ref(t, srv.Host, "app:v1")); err != nil {
			t.Errorf("after a blob of %d bytes: %v\n%s", size, err, strings.Join(srv.Registry.Lines(), "\n"))
		}
	}
}

// TestForbiddenDiscovery: a repository that may not be written to says nothing of
// what the host discovers for others.
func TestForbiddenDiscovery(t *testing.T) {
	for range 8 { // it depends on which mounts are sent before the first failure
		srv := registrytest.Start(t, registrytest.Behaviour{Discovery: registrytest.DiscoveryOn})
		base := sixBase(t, srv.Registry)
		p := pusher(t)
		srv.Registry.Inject(registrytest.Fault{Do: registrytest.Status(403), Match: func(e registrytest.Entry) bool {
			return e.Repository == "forbidden" && e.Method == http.MethodPost
		}})
		if _, err := p.Push(context.Background(), image(t, "x", layers("x", 3, layerSize)...), ref(t, srv.Host, "forbidden:v1")); err == nil {
			t.Fatal("no error")
		}
		srv.Registry.ResetLog()
		if _, err := p.Push(context.Background(), image(t, "app", base...), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		if n := srv.Registry.Count().Bytes / layerSize; n > 0 {
			t.Fatalf("%d base layers were sent\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
		}
	}
}

// TestForbiddenChecks: nor does it say that the host answers no HEAD.
func TestForbiddenChecks(t *testing.T) {
	for _, opt := range []push.Option{push.WithoutMounts(), push.WithStrictChecks()} {
		srv := registrytest.Start(t, registrytest.Behaviour{SelfMountOff: true})
		p := pusher(t, opt)
		srv.Registry.Inject(registrytest.Fault{Do: registrytest.Status(403), Match: func(e registrytest.Entry) bool {
			return e.Repository == "forbidden"
		}})
		if _, err := p.Push(context.Background(), image(t, "x", layers("x", 3, layerSize)...), ref(t, srv.Host, "forbidden:v1")); err == nil {
			t.Fatal("no error")
		}
		seed(t, srv.Registry, "app", "old", image(t, "app", layers("app", 6, layerSize)...))
		srv.Registry.ResetLog()
		if _, err := p.Push(context.Background(), image(t, "app2", layers("app", 6, layerSize)...), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		if n := srv.Registry.Count().Bytes / layerSize; n > 0 {
			t.Errorf("%d layers were sent that stand\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
		}
	}
}

// TestBudgets: a registry in trouble does not use up the repeats of another.
func TestBudgets(t *testing.T) {
	for range 4 {
		a := registrytest.Start(t, registrytest.Behaviour{})
		a.Registry.Inject(registrytest.Fault{Do: registrytest.Status(503), Match: func(e registrytest.Entry) bool {
			return e.Kind != wire.ManifestGet
		}})
		b := registrytest.Start(t, registrytest.Behaviour{})
		b.Registry.Inject(registrytest.Fault{Do: registrytest.Stall, Delay: 700 * time.Millisecond, Match: func(e registrytest.Entry) bool {
			return e.Kind == wire.ManifestGet
		}}, registrytest.Fault{Do: registrytest.Status(503), Times: 3, Match: func(e registrytest.Entry) bool {
			return e.Kind == wire.UploadStart
		}})
		p := pusher(t, push.WithoutMounts(), push.WithConcurrency(16), push.WithRetry(transport.Retry{Base: time.Millisecond}))
		report, _ := p.Push(context.Background(), image(t, "x", layers("x", 16, 100<<10)...), ref(t, b.Host, "app:v1"), ref(t, a.Host, "app:v1"))
		if !report.Refs[0].Stands {
			t.Fatal(report.Refs[0].Err)
		}
	}
}

// TestNoWaitWithoutMounts: where nothing is mounted, or not from there, pushes to
// different repositories do not wait for each other's layers.
func TestNoWaitWithoutMounts(t *testing.T) {
	const host = "example.jfrog.io" // mount.Priors: mounts nothing
	shared := layer("shared", layerSize)
	d, _ := shared.Digest()
	for _, opts := range [][]push.Option{nil, {push.WithMountsFrom("nowhere")}} {
		synctest.Test(t, func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{MountAlways202: true})
			r.Inject(registrytest.Fault{Do: registrytest.Stall, Delay: 300 * time.Millisecond, Match: func(e registrytest.Entry) bool {
				return e.Kind == wire.UploadFinish && e.Digest.String() == d.String()
			}})
			p := pusher(t, append(opts, push.WithTransport(registrytest.Network{host: r}), push.WithConcurrency(64))...)
			began := time.Now()
			var wg sync.WaitGroup
			for i := range 8 {
				img := image(t, fmt.Sprint("app", i), shared)
				wg.Go(func() {
					if _, err := p.Push(context.Background(), img, ref(t, host, fmt.Sprintf("app%d:v1", i))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("eight pushes took %v, one takes some 300ms", took)
			}
		})
	}
}

// TestNamedHome: on a host that mounts what a manifest names, a repository whose
// manifest was refused is no home.
func TestNamedHome(t *testing.T) {
	const host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	for range 12 { // it depends on how many mounts are under way at once
		r := registrytest.New(registrytest.Behaviour{ReferencedOnly: true, ImmutableTags: true, MissingBlobs: registrytest.MissingUploadUnknown})
		seed(t, r, "one", "v1", image(t, "old", layer("old", 1000)))
		base := sixBase(t, r)
		r.CreateRepository("two")
		r.CreateRepository("three")
		p := pusher(t, push.WithTransport(registrytest.Network{host: r}))
		if _, err := p.Push(context.Background(), image(t, "new", layers("new", 6, layerSize)...), ref(t, host, "one:v1"), ref(t, host, "two:v1")); !errors.Is(err, push.ErrTagImmutable) {
			t.Fatal(err)
		}
		for _, l := range r.Lines() {
			if strings.HasPrefix(l, "POST two") && strings.Contains(l, "from=one") {
				t.Errorf("from where no manifest names it: %s", l)
				break
			}
		}
		r.ResetLog()
		for i, l := range base {
			base[i] = mountableFrom(l, ref(t, host, "base:v1"))
		}
		if _, err := p.Push(context.Background(), image(t, "app", base...), ref(t, host, "three:v1")); err != nil {
			t.Fatal(err)
		}
		if n := r.Count().Bytes / layerSize; n > 0 {
			t.Fatalf("%d base layers were sent, which base holds", n)
		}
	}
}
