package registrytest

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestBlobVisibility(t *testing.T) {
	for _, test := range []struct {
		name      string
		b         Behaviour
		head, get int  // of a blob that only another repository holds
		linked    bool // it is in the repository afterwards
		manifest  int  // PUT of a manifest of it
	}{
		{"zero", Behaviour{}, 404, 404, false, 400},
		{"sees all", Behaviour{HeadSeesAll: true}, 200, 200, false, 400},
		{"links", Behaviour{HeadSeesAll: true, HeadLinks: true}, 200, 200, true, 201},
		{"global", Behaviour{GlobalBlobs: true}, 200, 200, false, 201},
		{"HEAD 403", Behaviour{HeadStatus: 403, HeadSeesAll: true}, 403, 200, false, 400},
		{"HEAD 401", Behaviour{HeadStatus: 401}, 401, 404, false, 400},
		{"HEAD 405", Behaviour{HeadStatus: 405}, 405, 404, false, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(test.b)
			d := r.PutBlob("base", []byte("{}"))
			p := newPeer(t, r)
			p.want(test.get, "GET", "/v2/app/blobs/"+d.String(), nil)
			if _, held := r.Blob("app", d); held {
				t.Error("a GET linked the blob")
			}
			if a := p.want(test.head, "HEAD", "/v2/app/blobs/"+d.String(), nil); a.body != "" {
				t.Errorf("HEAD has a body: %q", a.body)
			}
			if _, held := r.Blob("app", d); held != test.linked {
				t.Errorf("linked: %v", held)
			}
			p.want(test.manifest, "PUT", "/v2/app/manifests/v1", image([]byte("{}")), asManifest)
		})
	}
}

func TestBlobHeadSize(t *testing.T) {
	r := New(Behaviour{HeadSize: 86})
	d := r.PutBlob("app", []byte("content"))
	a := newPeer(t, r).want(200, "HEAD", "/v2/app/blobs/"+d.String(), nil)
	if a.header.Get("Content-Length") != "86" || a.header.Get("Docker-Content-Digest") == d.String() {
		t.Errorf("HEAD: %v", a.header)
	}
	r.SetBehaviour(func(b *Behaviour) { b.HeadSize = 0 })
	a = newPeer(t, r).want(200, "HEAD", "/v2/app/blobs/"+d.String(), nil)
	if a.header.Get("Content-Length") != "7" || a.header.Get("Docker-Content-Digest") != d.String() {
		t.Errorf("HEAD: %v", a.header)
	}
}

func TestBlobGet(t *testing.T) {
	r := New(Behaviour{})
	d := r.PutBlob("app", []byte("content"))
	p := newPeer(t, r)
	target := "/v2/app/blobs/" + d.String()
	if got := p.want(200, "GET", target, nil).body; got != "content" {
		t.Errorf("GET = %q", got)
	}
	if got := p.want(206, "GET", target, nil, "Range: bytes=3-").body; got != "tent" {
		t.Errorf("range = %q", got)
	}
	if got := r.Log()[0].Replied; got != 7 {
		t.Errorf("Replied = %d", got)
	}
	p.want(202, "DELETE", target, nil)
	p.want(404, "DELETE", target, nil)
	p.want(404, "GET", target, nil)
	d = r.PutBlob("app", nil)
	if got := p.want(200, "GET", "/v2/app/blobs/"+d.String(), nil).body; got != "" {
		t.Errorf("empty blob = %q", got)
	}
	r.DeleteBlob("app", d)
	p.want(404, "HEAD", "/v2/app/blobs/"+d.String(), nil)
}

func TestRedirects(t *testing.T) {
	r := New(Behaviour{RedirectBlobs: "https://storage:1/", RedirectUploads: "https://upload:2"})
	d := r.PutBlob("app", []byte("content"))
	p := newPeer(t, r)
	if got := p.want(307, "GET", "/v2/app/blobs/"+d.String(), nil).location(); !strings.HasPrefix(got, "https://storage:1/signed/") {
		t.Errorf("GET: %s", got)
	}
	p.want(307, "HEAD", "/v2/app/blobs/"+d.String(), nil)
	p.want(404, "GET", "/v2/app/blobs/"+digest.FromString("x").String(), nil)
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		target := "/v2/app/blobs/uploads/?a=%7e&mount=" + d.String()
		if got := p.want(307, method, target, nil).location(); got != "https://upload:2"+target {
			t.Errorf("%s: %s", method, got)
		}
	}
	p.want(200, "GET", "/v2/", nil)
}
