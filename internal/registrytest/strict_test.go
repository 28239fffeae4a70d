package registrytest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// raw sends a request past the client, as it is.
func raw(r *Registry, method, target string, body []byte, length int64, headers ...string) *captured {
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.ContentLength, req.Host = length, "registry.test"
	for _, line := range headers {
		key, value, _ := strings.Cut(line, ": ")
		req.Header.Set(key, value)
	}
	w := &captured{header: http.Header{}}
	func() {
		defer func() { _ = recover() }()
		r.ServeHTTP(w, req)
	}()
	return w
}

func TestViolations(t *testing.T) {
	d := digest.FromString("content")
	other := digest.FromString("other")
	const asBlob = "Content-Type: " + octetStream
	for _, test := range []struct {
		name string
		want string // in the only violation
		do   func(p *peer, r *Registry)
	}{
		{"PATCH without Content-Length", "Content-Length is missing", func(p *peer, r *Registry) {
			p.chunked("PATCH", p.begin(), []byte("content"))
		}},
		{"PUT without Content-Length", "Content-Length is missing", func(p *peer, r *Registry) {
			p.chunked("PUT", withDigest(p.begin(), d), []byte("content"))
		}},
		{"body longer than Content-Length", "longer than its Content-Length", func(p *peer, r *Registry) {
			raw(r, "PATCH", p.begin(), []byte("content"), 3, asBlob)
		}},
		{"PUT without digest", "DIGEST_INVALID", func(p *peer, r *Registry) {
			p.do("PUT", p.begin(), []byte("content"))
		}},
		{"empty from", "from is empty", func(p *peer, r *Registry) {
			p.do("POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=", nil)
		}},
		{"from on a session", "from is no parameter", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin()+"?from=base", []byte("content"))
		}},
		{"mount on a session", "mount is no parameter", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin()+"?mount="+d.String(), []byte("content"))
		}},
		{"another digest", "opened by a mount", func(p *peer, r *Registry) {
			location := p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+other.String(), nil).location()
			p.do("PUT", withDigest(location, d), []byte("content"))
		}},
		{"out of order", "out of order", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin(), []byte("content"), "Content-Range: 1-7")
		}},
		{"RFC 9110 range", "not of the form", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin(), []byte("content"), "Content-Range: bytes 0-6/7")
		}},
		{"range and length differ", "does not agree", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin(), []byte("content"), "Content-Range: 0-7")
		}},
		{"after PUT", "has ended", func(p *peer, r *Registry) {
			location := p.begin()
			p.want(201, "PUT", withDigest(location, d), []byte("content"))
			p.want(404, "PUT", withDigest(location, d), []byte("content"))
		}},
		{"after DELETE", "has ended", func(p *peer, r *Registry) {
			location := p.begin()
			p.want(204, "DELETE", location, nil)
			p.want(404, "GET", location, nil)
		}},
		{"body on GET", "a GET has no body", func(p *peer, r *Registry) { p.do("GET", "/v2/", []byte("x")) }},
		{"body on HEAD", "a HEAD has no body", func(p *peer, r *Registry) { p.do("HEAD", "/v2/app/blobs/"+d.String(), []byte("x")) }},
		{"body on DELETE", "a DELETE has no body", func(p *peer, r *Registry) { p.do("DELETE", p.begin(), []byte("x")) }},
		{"no newest Location", "newest Location", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin()+"?more=1", []byte("x"))
		}},
		{"manifest without type", "Content-Type", func(p *peer, r *Registry) {
			raw(r, "PUT", "/v2/app/manifests/v1", []byte("{}"), 2)
		}},
		{"manifest of a strange type", "Content-Type", func(p *peer, r *Registry) {
			p.do("PUT", "/v2/app/manifests/v1", []byte("{}"), "Content-Type: application/json")
		}},
		{"upload of a strange type", "is not application/octet-stream", func(p *peer, r *Registry) {
			p.do("PATCH", p.begin(), []byte("x"), "Content-Type: text/plain")
		}},
		{"tag", "TAG_INVALID", func(p *peer, r *Registry) { p.do("PUT", "/v2/app/manifests/v1+2", []byte("{}"), asManifest) }},
		{"tag parameter", "TAG_INVALID", func(p *peer, r *Registry) {
			p.do("PUT", "/v2/app/manifests/"+d.String()+"?tag=.x", []byte("{}"), asManifest)
		}},
		{"name", "NAME_INVALID", func(p *peer, r *Registry) { p.do("POST", "/v2/App/blobs/uploads/", nil) }},
		{"POST without Content-Length", "has Content-Length: 0", func(p *peer, r *Registry) {
			raw(r, "POST", "/v2/app/blobs/uploads/", nil, 0)
		}},
		{"POST with a body", "has Content-Length: 0", func(p *peer, r *Registry) {
			p.do("POST", "/v2/app/blobs/uploads/?mount="+d.String(), []byte("x"))
		}},
		{"credentials for nobody", "without a challenge", func(p *peer, r *Registry) {
			p.do("GET", "/v2/", nil, "Authorization: Basic eDp5")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(Behaviour{})
			test.do(newPeer(t, r), r)
			if v := r.Violations(); len(v) != 1 || !strings.Contains(v[0], test.want) {
				t.Errorf("Violations = %q", v)
			}
		})
	}
}

// TestNoViolations makes the requests of a well-behaved client, on every known registry.
func TestNoViolations(t *testing.T) {
	for _, k := range Registries() {
		r := New(k.Behaviour)
		r.CreateRepository("app")
		p := newPeer(t, r)
		d := r.PutBlob("base/image", []byte("content"))
		p.do("HEAD", "/v2/app/blobs/"+d.String(), nil)
		p.do("POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=base/image", nil)
		p.do("POST", "/v2/app/blobs/uploads/?mount="+d.String(), nil)
		p.do("GET", "/v2/app/referrers/"+d.String(), nil)
		p.do("GET", "/v2/_catalog", nil)
		p.do("PUT", withDigest(p.begin(), d), []byte("content"))
		for _, v := range r.Violations() {
			t.Errorf("%s: %s", k.Name, v)
		}
	}
}

// TestFaultedSessionIsJudgedMildly: after a lost reply a client cannot know that the session ended.
func TestFaultedSessionIsJudgedMildly(t *testing.T) {
	r := New(Behaviour{LocationForm: LocationStateQuery})
	p := newPeer(t, r)
	d := digest.FromString("content")
	first := p.begin()
	r.Inject(Fault{Do: ResetAfter, Times: 1})
	if a := p.do("PATCH", first, []byte("con")); a.err == nil {
		t.Fatal("the reply was not lost")
	}
	p.want(404, "PATCH", first, []byte("con"))
	second := p.begin()
	r.Inject(Fault{Do: ResetAfter, Times: 1})
	p.do("PUT", withDigest(second, d), []byte("content"))
	p.want(404, "PUT", withDigest(second, d), []byte("content"))
	noViolations(t, r)
}

// recordingTB is a TB that keeps what it is told.
type recordingTB struct {
	errors   []string
	cleanups []func()
}

func (r *recordingTB) Helper()                           {}
func (r *recordingTB) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recordingTB) Fatalf(format string, args ...any) { r.Errorf(format, args...) }
func (r *recordingTB) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestStartReportsViolations(t *testing.T) {
	tb := &recordingTB{}
	s := Start(tb, Behaviour{})
	p := newPeer(t, s.Registry)
	p.transport, p.base = defaultTransport(t), s.URL
	p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+digest.FromString("x").String()+"&from=", nil)
	for _, f := range tb.cleanups {
		f()
	}
	if len(tb.errors) != 1 || !strings.Contains(tb.errors[0], "from is empty") {
		t.Errorf("errors = %q", tb.errors)
	}
	if a := p.do("GET", "/v2/", nil); a.err == nil {
		t.Error("the server still serves")
	}
}
