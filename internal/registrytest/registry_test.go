package registrytest

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestPush pushes an image the plain way over loopback and looks at everything that can be observed.
func TestPush(t *testing.T) {
	s := Start(t, Behaviour{})
	p := newPeer(t, s.Registry)
	p.transport, p.base = nil, s.URL
	p.transport = defaultTransport(t)
	config, layer := []byte(`{"os":"linux"}`), blobOf("layer", 100_000)
	manifest := image(config, layer)
	r := s.Registry
	r.Label(digest.FromBytes(layer), "layer")
	r.Label(digest.FromBytes(config), "config")
	r.PutBlob("base", config)

	p.want(404, "HEAD", "/v2/app/blobs/"+digest.FromBytes(layer).String(), nil)
	p.upload("app", layer)
	if err := r.Complete("app", "v1"); err == nil {
		t.Error("Complete: nil without a manifest")
	}
	p.want(400, "PUT", "/v2/app/manifests/v1", manifest, asManifest)
	p.want(201, "POST", "/v2/app/blobs/uploads/?mount="+digest.FromBytes(config).String()+"&from=base", nil)
	p.want(201, "PUT", "/v2/app/manifests/v1", manifest, asManifest)
	got := p.want(200, "GET", "/v2/app/manifests/v1", nil)
	if got.body != string(manifest) {
		t.Errorf("manifest = %s", got.body)
	}
	a := p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
	if n := r.OpenSessions(); n != 1 {
		t.Errorf("OpenSessions = %d, want 1", n)
	}
	p.want(204, "DELETE", a.location(), nil)

	want := []string{
		"HEAD app blob layer 404",
		"POST app uploads 202",
		"PUT app upload layer 100000B 201",
		"PUT app manifest v1 400",
		"POST app uploads mount=config from=base 201",
		"PUT app manifest v1 201",
		"GET app manifest v1 200",
		"POST app uploads 202",
		"DELETE app upload 204",
	}
	if got := r.Lines(); !slices.Equal(got, want) {
		t.Errorf("Lines:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := r.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
	c := r.Count()
	if c.Requests != 9 || c.Bytes != 100_000 || c.BytesTwice != 0 || c.SessionsOpened != 2 || c.SessionsOpen != 0 || c.SessionsCancelled != 1 {
		t.Errorf("Count = %+v", c)
	}
	if got := r.Tags("app"); !slices.Equal(got, []string{"v1"}) {
		t.Errorf("Tags = %v", got)
	}
	if got := r.Repositories(); !slices.Equal(got, []string{"app", "base"}) {
		t.Errorf("Repositories = %v", got)
	}
}
