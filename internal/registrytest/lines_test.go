package registrytest

import (
	"slices"
	"testing"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// TestLines has every kind of request, twice, with sessions whose URLs differ.
func TestLines(t *testing.T) {
	want := []string{
		"GET /v2/ 200",
		"GET app blob layer 404",
		"HEAD app blob sha256:594e519a 404",
		"DELETE app blob layer 404",
		"GET app manifest v1 404",
		"HEAD app manifest layer 404",
		"POST app uploads 202",
		"PATCH app upload 3B 202",
		"PATCH app upload 3-4 2B 202",
		"GET app upload 204",
		"PUT app upload layer 2B 201",
		"POST app uploads 202",
		"DELETE app upload 204",
		"POST app uploads digest=layer 7B 202",
		"POST app uploads mount=layer from=base/image 202",
		"POST app uploads mount=sha512:b2d1d285 202",
		"POST app uploads from=base 202",
		"PUT app manifest manifest tag=a tag=b 201",
		"DELETE app manifest v1 404",
		"GET app tags n=1 200",
		"GET app tags 200",
		"GET app referrers layer 404",
		"GET /v2/ 503 !503",
		"GET /v2/ - !Refuse",
	}
	for range 2 {
		r := New(Behaviour{LocationForm: LocationStateQuery})
		newPeer(t, r).begin() // other ids
		r.ResetLog()
		everyKind(newPeer(t, r), r)
		got := r.Lines()
		for i := range max(len(got), len(want)) {
			switch {
			case i >= len(got):
				t.Errorf("missing: %s", want[i])
			case i >= len(want):
				t.Errorf("more: %s", got[i])
			case got[i] != want[i]:
				t.Errorf("line %d: %s, want %s", i, got[i], want[i])
			}
		}
		if r.Log()[0].Seq != 2 || r.Count().ByKind[wire.Mount] != 2 {
			t.Errorf("Seq = %d, Count = %+v", r.Log()[0].Seq, r.Count())
		}
	}
}

func everyKind(p *peer, r *Registry) {
	content := []byte("content")
	d := digest.FromBytes(content)
	manifest := image([]byte("{}"))
	r.PutBlob("app", []byte("{}"))
	r.Label(d, "layer")
	r.Label(digest.FromBytes(manifest), "manifest")
	p.do("GET", "/v2/", nil)
	p.do("GET", "/v2/app/blobs/"+d.String(), nil)
	p.do("HEAD", "/v2/app/blobs/"+digest.FromString("z").String(), nil)
	p.do("DELETE", "/v2/app/blobs/"+d.String(), nil)
	p.do("GET", "/v2/app/manifests/v1", nil)
	p.do("HEAD", "/v2/app/manifests/"+d.String(), nil)
	location := p.begin()
	location = p.do("PATCH", location, content[:3]).location()
	location = p.do("PATCH", location, content[3:5], "Content-Range: 3-4").location()
	p.do("GET", location, nil)
	p.do("PUT", withDigest(location, d), content[5:])
	p.do("DELETE", p.begin(), nil)
	p.do("POST", "/v2/app/blobs/uploads/?digest="+d.String(), content)
	p.do("POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=base/image", nil)
	p.do("POST", "/v2/app/blobs/uploads/?mount="+digest.SHA512.FromBytes(content).String(), nil)
	p.do("POST", "/v2/app/blobs/uploads/?from=base", nil)
	p.do("PUT", "/v2/app/manifests/"+digest.FromBytes(manifest).String()+"?tag=a&tag=b", manifest, asManifest)
	p.do("DELETE", "/v2/app/manifests/v1", nil)
	p.do("GET", "/v2/app/tags/list?n=1", nil)
	p.do("GET", "/v2/app/tags/list", nil)
	p.do("GET", "/v2/app/referrers/"+d.String(), nil)
	r.Inject(Fault{Do: Status(503), Times: 1}, Fault{Do: Refuse, Times: 1})
	p.do("GET", "/v2/", nil)
	p.do("GET", "/v2/", nil)
}

func TestLogIsACopy(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	p.do("GET", "/v2/", nil, "X-Mine: yes")
	log := r.Log()
	log[0].Status = 1
	if got := r.Log()[0]; got.Status != 200 || got.Header.Get("X-Mine") != "yes" || got.Host != "registry.test" {
		t.Errorf("entry = %+v", got)
	}
	c := r.Count()
	c.ByKind[wire.Ping] = 7
	if got := r.Count().ByKind[wire.Ping]; got != 1 {
		t.Errorf("ByKind = %d", got)
	}
	if !slices.Equal(r.Lines(), []string{"GET /v2/ 200"}) {
		t.Errorf("Lines = %q", r.Lines())
	}
}
