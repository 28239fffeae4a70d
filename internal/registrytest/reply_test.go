package registrytest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/wire"
)

func TestErrorForms(t *testing.T) {
	for _, test := range []struct {
		name        string
		b           Behaviour
		contentType string
		bare        bool
	}{
		{"zero", Behaviour{}, "application/json", false},
		{"plain text", Behaviour{ErrorsPlainText: true}, "text/plain; charset=utf-8", false},
		{"bare", Behaviour{ErrorsBare: true}, "application/json", true},
	} {
		r := New(test.b)
		a := newPeer(t, r).want(404, "GET", "/v2/app/tags/list", nil)
		if got := a.header.Get("Content-Type"); got != test.contentType {
			t.Errorf("%s: Content-Type = %q", test.name, got)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(a.body), &body); err != nil {
			t.Fatal(err)
		}
		if _, ok := body["code"]; ok != test.bare {
			t.Errorf("%s: %s", test.name, a.body)
		}
		if errs := wire.ParseErrors([]byte(a.body)); len(errs) != 1 || errs[0].Code != "NAME_UNKNOWN" {
			t.Errorf("%s: ParseErrors = %v", test.name, errs)
		}
	}
}

func TestGrease(t *testing.T) {
	for off, want := range map[bool]bool{false: true, true: false} {
		r := New(Behaviour{NoGrease: off, Subject: true})
		r.PutManifest("app", "v1", ociManifest, image([]byte("{}")))
		p := newPeer(t, r)
		names := map[string]bool{}
		for _, target := range []string{"/v2/", "/v2/app/tags/list", "/v2/app/manifests/v1", "/v2/app/manifests/v2",
			"/v2/app/referrers/sha256:" + strings.Repeat("0", 64)} {
			a := p.do("GET", target, nil)
			keys := slices.Collect(maps.Keys(a.header))
			i := slices.IndexFunc(keys, func(key string) bool { return strings.HasPrefix(key, "X-Grease-") })
			if i >= 0 != want {
				t.Errorf("%s: headers = %v", target, a.header)
			}
			if i >= 0 {
				names[keys[i]] = true
			}
			if greased := strings.Contains(a.body, "x-grease-"); greased != (want && !strings.HasSuffix(target, "/v1")) {
				t.Errorf("%s: body = %s", target, a.body)
			}
		}
		if want && len(names) != 5 {
			t.Errorf("the names do not vary: %v", names)
		}
	}
}

func TestRateLimit(t *testing.T) {
	for _, test := range []struct {
		limit      RateLimit
		status     int
		retryAfter string
		code, text string
	}{
		{RateLimit{First: 2}, 429, "", "TOOMANYREQUESTS", "too many requests"},
		{RateLimit{First: 2, RetryAfter: "3"}, 429, "3", "TOOMANYREQUESTS", "too many"},
		{RateLimit{First: 2, Status: 403}, 403, "", "DENIED", "secondary rate limit"},
		{RateLimit{First: 2, Message: "retry-after: 10.3ms, allowed: 2000/minute"}, 429, "", "TOOMANYREQUESTS", "retry-after: 10.3ms"},
	} {
		r := New(Behaviour{RateLimit: test.limit})
		p := newPeer(t, r)
		for range 2 {
			a := p.want(test.status, "POST", "/v2/app/blobs/uploads/", nil)
			if a.header.Get("Retry-After") != test.retryAfter || a.code() != test.code || !strings.Contains(a.body, test.text) {
				t.Errorf("%+v: %v %s", test.limit, a.header, a.body)
			}
		}
		p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
		r.SetBehaviour(func(b *Behaviour) { b.RateLimit.First = 1 })
		p.want(test.status, "GET", "/v2/", nil)
		p.want(200, "GET", "/v2/", nil)
	}
}

func TestNoRequestOfTheAPI(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	if a := p.want(404, "GET", "/v3/", nil); a.code() != "UNSUPPORTED" {
		t.Error(a.body)
	}
	p.want(405, "POST", "/v2/", nil)
	p.want(400, "GET", "/v2/app/blobs/sha256:short", nil)
	want := []string{"GET /v3/ 404", "POST /v2/ 405", "GET /v2/app/blobs/sha256:short 400"}
	if got := r.Lines(); !slices.Equal(got, want) {
		t.Errorf("Lines = %q", got)
	}
	if got := r.Count().ByKind[0]; got != 3 {
		t.Errorf("ByKind[0] = %d", got)
	}
}

// TestHeadHasNoBody covers every HEAD, right or wrong, over real HTTP, where a body would break the next
// reply.
func TestHeadHasNoBody(t *testing.T) {
	s := Start(t, Behaviour{})
	p := newPeer(t, s.Registry)
	p.transport, p.base = defaultTransport(t), s.URL
	d := s.Registry.PutBlob("app", []byte("content"))
	s.Registry.PutManifest("app", "v1", ociManifest, image([]byte("{}")))
	for target, want := range map[string]int{"blobs/" + d.String(): 200, "blobs/" + d.String()[:70] + "0": 404,
		"manifests/v1": 200, "manifests/v2": 404} {
		a := p.want(want, "HEAD", "/v2/app/"+target, nil)
		if a.body != "" || a.header.Get("Content-Length") == "0" {
			t.Errorf("%s: %v %q", target, a.header, a.body)
		}
		p.want(200, "GET", "/v2/", nil)
	}
	for _, e := range s.Registry.Log() {
		if e.Method == "HEAD" && e.Replied != 0 {
			t.Errorf("%s: %d bytes replied", e.URL, e.Replied)
		}
	}
}
