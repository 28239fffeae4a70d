package push_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// meddling does something after each request that is like one.
type meddling struct {
	http.RoundTripper
	after string // method and path
	do    func()
	done  int
}

func (m *meddling) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := m.RoundTripper.RoundTrip(req)
	if req.Method+" "+req.URL.Path == m.after {
		m.done++
		m.do()
	}
	return resp, err
}

// indexOf returns an index of images.
func indexOf(images ...mutate.Appendable) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img})
	}
	return idx
}

// without writes an index into a layout, takes content out of it and reads it.
func without(t *testing.T, idx v1.ImageIndex, gone ...string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, idx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range gone {
		if err := os.Remove(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(d, "sha256:"))); err != nil {
			t.Fatal(err)
		}
	}
	out, err := p.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// contents returns the digests of all that an image is made of, its manifest first.
func contents(t testing.TB, img v1.Image) []string {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{digestOf(t, img), m.Config.Digest.String()}
	for _, l := range m.Layers {
		out = append(out, l.Digest.String())
	}
	return out
}

// TestSparse pushes an index of which one image is not there, neither its manifest
// nor its blobs.
func TestSparse(t *testing.T) {
	amd := image(t, "amd", layer("base", 1<<10), layer("amd", 1<<10))
	arm := image(t, "arm", layer("base", 1<<10), layer("arm", 1<<10))
	claim := map[string]string{}
	for _, c := range []struct {
		name    string
		hold    string // the repository that holds arm
		claim   bool   // an annotation says so
		sources bool   // the caller names it
		base    bool   // the caller names it as that of a base image
		first   bool   // it is a target as well
		nested  bool   // arm is in an index of its own
		b       registrytest.Behaviour
		fails   bool
	}{
		{name: "in the target", hold: "app"},
		{name: "in the target, in an index of its own", hold: "app", nested: true},
		{name: "in the target, which forbids HEAD", hold: "app", b: registrytest.Behaviour{ManifestHeadStatus: 403}},
		{name: "elsewhere, an annotation says where", hold: "other", claim: true},
		{name: "elsewhere, the caller says where", hold: "other", sources: true},
		{name: "elsewhere, where a base is", hold: "other", base: true},
		{name: "elsewhere, in an index of its own", hold: "other", sources: true, nested: true},
		{name: "in another target", hold: "first", first: true},
		{name: "elsewhere, nobody says where", hold: "other", fails: true},
		{name: "nowhere", fails: true},
		{name: "elsewhere, and cannot be mounted", hold: "other", sources: true, b: registrytest.Behaviour{MountAlways202: true}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := registrytest.Start(t, c.b)
			var child mutate.Appendable = arm
			gone := contents(t, arm)
			gone = append(gone[:2:2], gone[3:]...) // the base layer is amd's as well
			if c.nested {
				inner := indexOf(arm)
				child, gone = inner, append(gone, digestOf(t, inner))
			}
			if c.hold != "" {
				seed(t, srv.Registry, c.hold, "arm", arm)
				if c.nested {
					body, err := child.(v1.ImageIndex).RawManifest()
					if err != nil {
						t.Fatal(err)
					}
					srv.Registry.PutManifest(c.hold, "", string(types.OCIImageIndex), body)
				}
			}
			if c.claim {
				claim["containerd.io/distribution.source."+srv.Host] = c.hold
			}
			idx := mutate.AppendManifests(indexOf(amd), mutate.IndexAddendum{Add: child})
			idx = mutate.Annotations(idx, claim).(v1.ImageIndex)
			clear(claim)
			var opts []push.Option
			if c.sources {
				opts = append(opts, push.WithSources(ref(t, srv.Host, c.hold).Context()))
			}
			if c.base {
				opts = append(opts, push.WithBases(ref(t, srv.Host, c.hold+":base")))
			}
			refs := []name.Reference{ref(t, srv.Host, "app:v1")}
			if c.first {
				refs = append([]name.Reference{ref(t, srv.Host, c.hold+":v1")}, refs...)
			}
			report, err := pusher(t, opts...).Push(context.Background(), without(t, idx, gone...), refs...)
			checkSparse(t, srv.Registry, report, err, c.fails, c.sources && c.hold != "")
		})
	}
}

// checkSparse: either all stands, or nothing of it is to be seen.
func checkSparse(t *testing.T, r *registrytest.Registry, report *push.Report, err error, fails, found bool) {
	t.Helper()
	last := report.Refs[len(report.Refs)-1]
	if !fails {
		if err != nil || !last.Stands {
			t.Fatalf("%v\n%s", err, strings.Join(r.Lines(), "\n"))
		}
		if err := r.Complete("app", "v1"); err != nil {
			t.Error(err)
		}
		return
	}
	var pe *push.Error
	if !errors.As(err, &pe) || errors.Is(err, push.ErrMissingChild) == found || errors.Is(err, push.ErrContent) != found {
		t.Errorf("error %v", err)
	}
	for _, e := range r.Log() {
		if e.Kind == wire.ManifestPut && e.Status == 201 {
			t.Errorf("%s was put", e.Reference)
		}
	}
	if n := r.OpenSessions(); n != 0 {
		t.Errorf("%d sessions left open", n)
	}
}

// TestSparseAgain: an index that stands needs nothing of what it names.
func TestSparseAgain(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	img := image(t, "a", layer("a", 1<<10))
	idx := indexOf(img)
	if _, err := push.Push(context.Background(), idx, ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	srv.Registry.ResetLog()
	if _, err := push.Push(context.Background(), without(t, idx, contents(t, img)...), ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	if n := srv.Registry.Count().Requests; n != 1 {
		t.Errorf("%d requests, want 1\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestSparseSibling: the rest of the index was pulled from the repository that
// holds the image that could not be read.
func TestSparseSibling(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	amd, arm := image(t, "amd", layer("amd", 1<<10)), image(t, "arm", layer("arm", 1<<10))
	if _, err := push.Push(context.Background(), indexOf(amd, arm), ref(t, srv.Host, "staging:v1")); err != nil {
		t.Fatal(err)
	}
	flaky := &onceOnly{RoundTripper: http.DefaultTransport, path: "/manifests/" + digestOf(t, arm)}
	idx, err := remote.Index(ref(t, srv.Host, "staging:v1"), remote.WithTransport(flaky))
	if err != nil {
		t.Fatal(err)
	}
	srv.Registry.ResetLog()
	if _, err := push.Push(context.Background(), idx, ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	if flaky.refused == 0 {
		t.Error("the image could be read")
	}
	if n := srv.Registry.Count().Bytes; n != 0 {
		t.Errorf("%d bytes sent", n)
	}
	if err := srv.Registry.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
}

// onceOnly refuses all requests for one path.
type onceOnly struct {
	http.RoundTripper
	path    string
	refused int
}

func (o *onceOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, o.path) {
		o.refused++
		return &http.Response{StatusCode: 403, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	}
	return o.RoundTripper.RoundTrip(req)
}

// TestThin pushes an image whose bottom layer cannot be opened, which shows only
// when it is to be sent.
func TestThin(t *testing.T) {
	base, app := layer("base", 1<<10), layer("app", 1<<10)
	img := image(t, "thin", base, app)
	h, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	thin := func(t *testing.T) v1.ImageIndex { return without(t, indexOf(img), h.String()) }
	for _, c := range []struct {
		name  string
		hold  string
		fails bool
	}{
		{"in the target", "app", false},
		{"elsewhere", "base", false},
		{"nowhere", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := registrytest.Start(t, registrytest.Behaviour{})
			if c.hold != "" {
				seed(t, srv.Registry, c.hold, "base", image(t, "base", base))
			}
			p := pusher(t, push.WithSources(ref(t, srv.Host, "base").Context()))
			report, err := p.Push(context.Background(), thin(t), ref(t, srv.Host, "app:v1"))
			if c.fails {
				if !errors.Is(err, push.ErrContent) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), h.String()) {
					t.Errorf("error %v", err)
				}
				if tags := srv.Registry.Tags("app"); len(tags) > 0 || report.Refs[0].Stands {
					t.Errorf("tags %v", tags)
				}
			} else if err := errors.Join(err, srv.Registry.Complete("app", "v1")); err != nil {
				t.Errorf("%v\n%s", err, strings.Join(srv.Registry.Lines(), "\n"))
			}
			if n := srv.Registry.OpenSessions(); n != 0 {
				t.Errorf("%d sessions left open", n)
			}
		})
	}
}

// TestCollected: a child, or all of it, is collected after the look that showed
// that it stands. It is put again, and then the index once more.
func TestCollected(t *testing.T) {
	for _, missing := range []registrytest.MissingBlobs{
		registrytest.MissingNamed, registrytest.MissingNamedInText, registrytest.MissingUnnamed, registrytest.MissingNotFound, registrytest.MissingInternal,
	} {
		for _, blobs := range []bool{false, true} {
			r := registrytest.New(registrytest.Behaviour{MissingBlobs: missing})
			old, img := image(t, "old", layer("old", 1<<10)), image(t, "new", layer("new", 1<<10))
			client := r.Client()
			if _, err := pusher(t, push.WithTransport(client)).Push(context.Background(), indexOf(old), ref(t, faultHost, "app:v1")); err != nil {
				t.Fatal(err)
			}
			collect := &meddling{RoundTripper: client, after: "PUT /v2/app/manifests/" + digestOf(t, img), do: func() {
				req, err := http.NewRequest(http.MethodDelete, "http://"+faultHost+"/v2/app/manifests/"+digestOf(t, old), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := client.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
				for _, d := range contents(t, old)[1:] {
					if blobs {
						r.DeleteBlob("app", digest.Digest(d))
					}
				}
			}}
			report, err := pusher(t, push.WithTransport(collect)).Push(context.Background(), indexOf(old, img), ref(t, faultHost, "app:v1"))
			if err := errors.Join(err, r.Complete("app", "v1")); err != nil || collect.done != 1 {
				t.Errorf("missing %d, blobs %v: %v\n%s", missing, blobs, err, strings.Join(r.Lines(), "\n"))
			}
			if report.Repaired == 0 {
				t.Errorf("missing %d, blobs %v: not reported", missing, blobs)
			}
		}
	}
}
