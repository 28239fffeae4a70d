package registrytest

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// begin opens a session and returns its URL.
func (p *peer) begin() string {
	p.t.Helper()
	return p.want(202, "POST", "/v2/app/blobs/uploads/", nil).location()
}

// chunked sends a body without Content-Length.
func (p *peer) chunked(method, target string, body []byte) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+target, struct{ *bytes.Reader }{bytes.NewReader(body)})
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", octetStream)
	return p.send(req)
}

func TestSinglePost(t *testing.T) {
	content := []byte("content")
	d := digest.FromBytes(content)
	target := "/v2/app/blobs/uploads/?digest=" + d.String()
	for _, test := range []struct {
		name    string
		how     SinglePost
		headers string
		target  string
		want    int
	}{
		{"ignored", SinglePostIgnored, "", target, 202},
		{"taken", SinglePostTaken, "", target, 201},
		{"taken whatever the type", SinglePostTaken, "Content-Type: text/plain", target, 201},
		{"octet stream", SinglePostOctetStream, "", target, 201},
		{"octet stream, another type", SinglePostOctetStream, "Content-Type: text/plain", target, 415},
		{"wrong digest", SinglePostTaken, "", strings.Replace(target, d.String(), digest.FromString("x").String(), 1), 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(Behaviour{SinglePost: test.how})
			p := newPeer(t, r)
			var headers []string
			if test.headers != "" {
				headers = []string{test.headers}
			}
			a := p.want(test.want, "POST", test.target, content, headers...)
			if _, held := r.Blob("app", d); held != (test.want == 201) {
				t.Errorf("the registry holds the blob: %v", held)
			}
			if got := r.Count().Bytes; got != 7 {
				t.Errorf("%d bytes received", got)
			}
			if test.want == 202 {
				p.want(201, "PUT", withDigest(a.location(), d), content)
				if c := r.Count(); c.BytesTwice != 7 || c.Bytes != 14 {
					t.Errorf("Count = %+v", c)
				}
			}
		})
	}
	r := New(Behaviour{SinglePost: SinglePostOctetStream})
	if a := newPeer(t, r).chunked("POST", target, content); a.status != 400 {
		t.Errorf("without Content-Length: %d", a.status)
	}
}

func TestUploadLimits(t *testing.T) {
	content := blobOf("x", 1000)
	d := digest.FromBytes(content)
	t.Run("PutLimit", func(t *testing.T) {
		r := New(Behaviour{PutLimit: 999})
		p := newPeer(t, r)
		location := p.begin()
		p.want(413, "PUT", withDigest(location, d), content)
		location = p.want(202, "PATCH", location, content).location()
		p.want(201, "PUT", withDigest(location, d), nil)
		p.want(201, "PUT", withDigest(p.begin(), digest.FromBytes(content[:999])), content[:999])
	})
	t.Run("BodyLimit", func(t *testing.T) {
		r := New(Behaviour{BodyLimit: 999})
		p := newPeer(t, r)
		location := p.begin()
		p.want(413, "PATCH", location, content)
		a := p.want(413, "PUT", withDigest(location, d), content)
		if strings.HasPrefix(a.body, "{") {
			t.Errorf("a proxy sent %s", a.body)
		}
		p.want(202, "PATCH", location, content[:999])
	})
	t.Run("PatchLimit", func(t *testing.T) {
		r := New(Behaviour{PatchLimit: 999})
		p := newPeer(t, r)
		location := p.begin()
		a := p.want(416, "PATCH", location, content, "Content-Range: 0-999")
		if !strings.Contains(a.body, "maximum permissible limit") || a.location() == "" {
			t.Errorf("416: %s", a.body)
		}
		p.want(202, "PATCH", location, content[:999], "Content-Range: 0-998")
		p.want(201, "PUT", withDigest(p.begin(), d), content)
		p.want(202, "PATCH", p.begin(), content)
	})
	t.Run("PutChunkedRefused", func(t *testing.T) {
		for refused, want := range map[bool]int{false: 201, true: 400} {
			r := New(Behaviour{PutChunkedRefused: refused})
			p := newPeer(t, r)
			if a := p.chunked("PUT", withDigest(p.begin(), d), content); a.status != want {
				t.Errorf("%v: %d", refused, a.status)
			}
		}
	})
}

func TestUploadStatuses(t *testing.T) {
	for _, status := range []int{200, 201, 204} {
		r := New(Behaviour{PatchStatus: status, PutStatus: status})
		p := newPeer(t, r)
		location := p.want(status, "PATCH", p.begin(), []byte("con")).location()
		p.want(status, "PUT", withDigest(location, digest.FromString("content")), []byte("tent"))
		if _, held := r.Blob("app", digest.FromString("content")); !held {
			t.Errorf("%d: the blob is not there", status)
		}
	}
}

func TestLaterPatch(t *testing.T) {
	r := New(Behaviour{LaterPatch: LaterPatchDropped})
	p := newPeer(t, r)
	location := p.begin()
	p.want(202, "PATCH", location, []byte("con"))
	if got := p.want(202, "PATCH", location, []byte("tent")).header.Get("Range"); got != "0-2" {
		t.Errorf("Range = %q", got)
	}
	a := p.want(400, "PUT", withDigest(location, digest.FromString("content")), nil)
	if a.code() != "DIGEST_INVALID" {
		t.Error(a.body)
	}
	r.SetBehaviour(func(b *Behaviour) { b.LaterPatch = LaterPatchRefused })
	location = p.begin()
	p.want(202, "PATCH", location, []byte("con"))
	p.want(400, "PATCH", location, []byte("tent"))
	p.want(201, "PUT", withDigest(location, digest.FromString("content")), []byte("tent"))
}

func TestContentRange(t *testing.T) {
	for _, test := range []struct {
		name    string
		header  string
		want    int // for a chunk of 4 bytes when 3 stand
		ignored int // the same with RangeIgnored
	}{
		{"right", "3-6", 202, 202},
		{"gap", "4-7", 416, 202},
		{"again", "0-3", 416, 202},
		{"RFC 9110", "bytes 3-6/7", 416, 202},
		{"no range", "seven", 416, 202},
		{"backwards", "6-3", 416, 202},
		{"longer than the body", "3-7", 400, 202},
	} {
		t.Run(test.name, func(t *testing.T) {
			for ignored, want := range map[bool]int{false: test.want, true: test.ignored} {
				r := New(Behaviour{RangeIgnored: ignored})
				p := newPeer(t, r)
				location := p.begin()
				p.want(202, "PATCH", location, []byte("con"), "Content-Range: 0-2")
				a := p.want(want, "PATCH", location, []byte("tent"), "Content-Range: "+test.header)
				if want == 416 && (a.header.Get("Range") != "0-2" || a.location() == "") {
					t.Errorf("416: %v", a.header)
				}
				if broken := test.want != 202; broken != (len(r.Violations()) == 1) {
					t.Errorf("Violations = %q", r.Violations())
				}
				if want == 202 {
					p.want(201, "PUT", withDigest(location, digest.FromString("content")), nil)
					continue
				}
				p.want(202, "PATCH", location, []byte("te"), "Content-Range: 3-4")
				p.want(201, "PUT", withDigest(location, digest.FromString("content")), []byte("nt"), "Content-Range: 5-6")
			}
		})
	}
}

func TestChunkMin(t *testing.T) {
	r := New(Behaviour{ChunkMin: 100})
	p := newPeer(t, r)
	content := blobOf("x", 250)
	location := p.begin()
	p.want(202, "PATCH", location, content[:100], "Content-Range: 0-99")
	p.want(202, "PATCH", location, content[100:200], "Content-Range: 100-199")
	p.want(202, "PATCH", location, content[200:], "Content-Range: 200-249")
	p.want(201, "PUT", withDigest(location, digest.FromBytes(content)), nil)
	noViolations(t, r)
	location = p.begin()
	p.want(202, "PATCH", location, content[:99])
	p.want(400, "PATCH", location, content[99:])
	if len(r.Violations()) != 1 {
		t.Errorf("Violations = %q", r.Violations())
	}
}

func TestWrongDigest(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	location := p.begin()
	if a := p.want(400, "PUT", withDigest(location, digest.FromString("x")), []byte("y")); a.code() != "DIGEST_INVALID" {
		t.Error(a.body)
	}
	p.want(404, "PUT", withDigest(location, digest.FromString("x")), []byte("x"))
	noViolations(t, r)
}

func TestAlgorithmsAndDiscard(t *testing.T) {
	content := blobOf("x", 1000)
	sha256, sha512 := digest.FromBytes(content), digest.SHA512.FromBytes(content)
	r := New(Behaviour{DiscardAbove: 999})
	p := newPeer(t, r)
	p.want(201, "PUT", withDigest(p.begin(), sha256), content)
	a := p.want(200, "HEAD", "/v2/app/blobs/"+sha256.String(), nil)
	if got := a.header.Get("Content-Length"); got != "1000" {
		t.Errorf("Content-Length = %s", got)
	}
	p.want(404, "GET", "/v2/app/blobs/"+sha256.String(), nil)
	r.PutManifest("app", "v1", ociManifest, image(content))
	if err := r.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
	r.SetBehaviour(func(b *Behaviour) { b.DiscardAbove = 0 })
	p.want(201, "PUT", withDigest(p.begin(), sha512), content)
	if got := p.want(200, "GET", "/v2/app/blobs/"+sha512.String(), nil).body; got != string(content) {
		t.Error("GET by sha512 differs")
	}
	p.want(201, "POST", "/v2/other/blobs/uploads/?mount="+sha512.String()+"&from=app", nil)
}

func TestBytesTwice(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	content := blobOf("x", 1000)
	d := p.upload("app", content)
	p.upload("other", content)
	if got := r.Count().BytesTwice; got != 0 {
		t.Errorf("another repository: BytesTwice = %d", got)
	}
	r.Inject(Fault{Match: func(e Entry) bool { return e.Method == "PUT" }, Times: 1, Do: ResetAfter})
	p.do("PUT", withDigest(p.begin(), d), content)
	if got := r.Count().BytesTwice; got != 0 {
		t.Errorf("a fault: BytesTwice = %d", got)
	}
	p.upload("app", content)
	if c := r.Count(); c.BytesTwice != 1000 || c.Bytes != 4000 {
		t.Errorf("Count = %+v", c)
	}
	r.ResetLog()
	if c := r.Count(); c.BytesTwice != 0 || c.Bytes != 0 || c.Requests != 0 || len(r.Log()) != 0 {
		t.Errorf("after ResetLog: %+v", c)
	}
}
