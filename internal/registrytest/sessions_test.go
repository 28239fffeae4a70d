package registrytest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestLocationForms(t *testing.T) {
	d := digest.FromString("content")
	for _, test := range []struct {
		name   string
		b      Behaviour
		prefix string // of the Location of a mount's 202
		in     string // somewhere in it
	}{
		{"relative", Behaviour{}, "/v2/app/blobs/uploads/", ""},
		{"absolute", Behaviour{LocationForm: LocationAbsolute}, "http://registry.test/v2/app/blobs/uploads/", ""},
		{"state", Behaviour{LocationForm: LocationStateQuery}, "http://registry.test/v2/app/blobs/uploads/", "?_state=%7e"},
		{"other path", Behaviour{LocationForm: LocationOtherPath}, "/v2/app/blobs/upload/", ""},
		{"carries mount", Behaviour{LocationForm: LocationCarriesMount}, "/v2/app/blobs/uploads/", "?mount=" + d.String() + "&from=base"},
		{"other host", Behaviour{LocationHost: func(*http.Request) string { return "https://other:1" }}, "https://other:1/v2/app/", ""},
		{"other host, state", Behaviour{LocationForm: LocationStateQuery, LocationHost: func(r *http.Request) string { return "ftp://" + r.Host }},
			"ftp://registry.test/v2/app/", "?_state="},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(test.b)
			p := newPeer(t, r)
			got := p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+d.String()+"&from=base", nil).location()
			if !strings.HasPrefix(got, test.prefix) || !strings.Contains(got, test.in) {
				t.Fatalf("Location = %s", got)
			}
			u, err := url.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			place, _, _ := strings.Cut(u.RequestURI(), "?mount=")
			p.want(201, "PUT", withDigest(place, d), []byte("content"))
			noViolations(t, r)
		})
	}
}

func TestCarriedMountIsInvalid(t *testing.T) {
	r := New(Behaviour{LocationForm: LocationCarriesMount})
	p := newPeer(t, r)
	d := digest.FromString("x")
	location := p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+d.String(), nil).location()
	p.want(400, "PUT", withDigest(location, d), []byte("x"))
	if v := r.Violations(); len(v) != 1 || !strings.Contains(v[0], "mount is no parameter") {
		t.Errorf("Violations = %q", v)
	}
}

func TestStaleState(t *testing.T) {
	for status, want := range map[int]int{0: 404, 400: 400, 416: 416} {
		r := New(Behaviour{LocationForm: LocationStateQuery, StaleSession: status})
		p := newPeer(t, r)
		first := p.want(202, "POST", "/v2/app/blobs/uploads/", nil).location()
		second := p.want(202, "PATCH", first, []byte("con")).location()
		if first == second {
			t.Fatalf("the state did not change: %s", second)
		}
		p.want(want, "PATCH", first, []byte("tent"))
		p.want(404, "PATCH", strings.Split(second, "?")[0], []byte("tent"))
		if len(r.Violations()) != 2 {
			t.Errorf("Violations = %q", r.Violations())
		}
		third := p.want(202, "PATCH", second, []byte("tent")).location()
		p.want(201, "PUT", withDigest(third, digest.FromString("content")), nil)
	}
}

// TestStateRewritten: a client that parses and writes the query anew is served, but noticed.
func TestStateRewritten(t *testing.T) {
	r := New(Behaviour{LocationForm: LocationStateQuery})
	p := newPeer(t, r)
	u, err := url.Parse(p.want(202, "POST", "/v2/app/blobs/uploads/", nil).location())
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = u.Query().Encode()
	p.want(201, "PUT", withDigest(u.String(), digest.FromString("x")), []byte("x"))
	if v := r.Violations(); len(v) != 1 || !strings.Contains(v[0], "newest Location") {
		t.Errorf("Violations = %q", v)
	}
}

func TestSessionAnswers(t *testing.T) {
	for _, test := range []struct {
		name           string
		b              Behaviour
		status, cancel int
		open           int // sessions after the DELETE
	}{
		{"zero", Behaviour{}, 204, 204, 0},
		{"explicit", Behaviour{DeleteSession: 204, StatusSession: 204}, 204, 204, 0},
		{"ggcr", Behaviour{DeleteSession: 400, StatusSession: 400}, 400, 400, 1},
		{"distribution with tokens", Behaviour{DeleteSession: 401}, 204, 401, 1},
		{"404", Behaviour{DeleteSession: 404, StatusSession: 404}, 404, 404, 1},
		{"cue", Behaviour{DeleteSession: 405}, 204, 405, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(test.b)
			p := newPeer(t, r)
			location := p.want(202, "POST", "/v2/app/blobs/uploads/", nil).location()
			p.want(test.status, "GET", location, nil)
			p.want(test.cancel, "DELETE", location, nil)
			if r.OpenSessions() != test.open {
				t.Errorf("%d sessions are open", r.OpenSessions())
			}
			if want := 1 - test.open; r.Count().SessionsCancelled != want {
				t.Errorf("Count = %+v", r.Count())
			}
		})
	}
}

func TestSessionHeaders(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	a := p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
	if a.header.Get("Range") != "0-0" || a.header.Get("OCI-Chunk-Min-Length") != "" || a.header.Get("Docker-Upload-Uuid") == "" {
		t.Errorf("POST: %v", a.header)
	}
	a = p.want(202, "PATCH", a.location(), blobOf("x", 500))
	if got := a.header.Get("Range"); got != "0-499" {
		t.Errorf("PATCH: Range = %q", got)
	}
	if got := p.want(204, "GET", a.location(), nil).header.Get("Range"); got != "0-499" {
		t.Errorf("GET: Range = %q", got)
	}
	r.SetBehaviour(func(b *Behaviour) { b.FreshRange, b.ChunkMin = "bytes=0--1", 4096 })
	a = p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
	if a.header.Get("Range") != "bytes=0--1" || a.header.Get("OCI-Chunk-Min-Length") != "4096" {
		t.Errorf("Quay: %v", a.header)
	}
	r.SetBehaviour(func(b *Behaviour) { b.NoUploadRange, b.PatchWithoutLocation = true, true })
	a = p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
	if _, ok := a.header["Range"]; ok {
		t.Errorf("olareg: %v", a.header)
	}
	if got := p.want(202, "PATCH", a.location(), []byte("x")).location(); got != "" {
		t.Errorf("PatchWithoutLocation: %q", got)
	}
}

func TestUnknownSession(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	location := p.want(202, "POST", "/v2/app/blobs/uploads/", nil).location()
	for _, target := range []string{"/v2/app/blobs/uploads/nothing", strings.Replace(location, "/app/", "/other/", 1)} {
		if a := p.want(404, "PATCH", target, []byte("x")); a.code() != "BLOB_UPLOAD_UNKNOWN" {
			t.Errorf("%s: %s", target, a.body)
		}
	}
	noViolations(t, r)
}

func TestSessionBoundToDigest(t *testing.T) {
	wanted, other := digest.FromString("wanted"), digest.FromString("other")
	for bound, want := range map[bool]int{false: 201, true: 500} {
		r := New(Behaviour{SessionBoundToDigest: bound})
		p := newPeer(t, r)
		location := p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+wanted.String(), nil).location()
		p.want(want, "PUT", withDigest(location, other), []byte("other"))
		if v := r.Violations(); len(v) != 1 || !strings.Contains(v[0], "opened by a mount") {
			t.Errorf("Violations = %q", v)
		}
		location = p.want(202, "POST", "/v2/app/blobs/uploads/?mount="+wanted.String(), nil).location()
		p.want(201, "PUT", withDigest(location, wanted), []byte("wanted"))
	}
}
