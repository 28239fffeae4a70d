package registrytest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

func TestMissingBlobs(t *testing.T) {
	config, one, two := []byte("{}"), blobOf("one", 10), blobOf("two", 10)
	both := []digest.Digest{digest.FromBytes(one), digest.FromBytes(two)}
	for _, test := range []struct {
		how    MissingBlobs
		status int
		code   wire.Code
		errors int
		named  []digest.Digest
	}{
		{MissingNamed, 400, "MANIFEST_BLOB_UNKNOWN", 2, both},
		{MissingNamedInText, 400, "MANIFEST_BLOB_UNKNOWN", 2, both},
		{MissingUnnamed, 400, "MANIFEST_INVALID", 1, nil},
		{MissingUploadUnknown, 400, "BLOB_UPLOAD_UNKNOWN", 1, both},
		{MissingNotFound, 404, "BLOB_UNKNOWN", 1, nil},
		{MissingInternal, 500, "UNKNOWN", 1, nil},
		{MissingUnchecked, 201, "", 0, nil},
	} {
		r := New(Behaviour{MissingBlobs: test.how})
		r.PutBlob("app", config)
		r.PutBlob("base", one)
		a := newPeer(t, r).want(test.status, "PUT", "/v2/app/manifests/v1", image(config, one, two), asManifest)
		errs := wire.ParseErrors([]byte(a.body))
		if len(errs) != test.errors || test.errors > 0 && errs[0].Code != test.code {
			t.Errorf("%d: %s", test.how, a.body)
		}
		if got := wire.MissingBlobs(errs); !slices.Equal(got, test.named) {
			t.Errorf("%d: MissingBlobs = %v", test.how, got)
		}
		if err := r.Complete("app", "v1"); err == nil {
			t.Errorf("%d: Complete is nil", test.how)
		}
	}
}

func TestManifestChecks(t *testing.T) {
	r := New(Behaviour{ManifestLimit: 1000})
	p := newPeer(t, r)
	r.PutBlob("app", []byte("{}"))
	good := image([]byte("{}"))
	for _, test := range []struct {
		name      string
		reference string
		kind      string
		body      string
		want      int
		code      string
	}{
		{"good", "v1", ociManifest, string(good), 201, ""},
		{"by digest", digest.FromBytes(good).String(), ociManifest, string(good), 201, ""},
		{"by sha512", digest.SHA512.FromBytes(good).String(), ociManifest, string(good), 201, ""},
		{"type with a parameter", "v1", ociManifest + "; charset=utf-8", string(good), 201, ""},
		{"another digest", digest.FromString("x").String(), ociManifest, string(good), 400, "DIGEST_INVALID"},
		{"unknown type", "v1", "application/json", string(good), 400, "MANIFEST_INVALID"},
		{"another type", "v1", dockerManifest, string(good), 400, "MANIFEST_INVALID"},
		{"no JSON", "v1", ociManifest, "{", 400, "MANIFEST_INVALID"},
		{"schema 1", "v1", ociManifest, `{"schemaVersion":1}`, 400, "MANIFEST_INVALID"},
		{"no config", "v1", ociManifest, `{"schemaVersion":2}`, 400, "MANIFEST_INVALID"},
		{"index with layers", "v1", ociIndex, `{"schemaVersion":2,"layers":[{}]}`, 400, "MANIFEST_INVALID"},
		{"image with manifests", "v1", ociManifest, strings.Replace(string(good), `"layers"`, `"manifests"`, 1), 201, ""},
		{"invalid digest", "v1", ociIndex, `{"schemaVersion":2,"manifests":[{"digest":"x"}]}`, 400, "MANIFEST_INVALID"},
		{"empty index", "v1", ociIndex, `{"schemaVersion":2,"manifests":[]}`, 201, ""},
		{"large", "v1", ociIndex, `{"schemaVersion":2}` + strings.Repeat(" ", 1000), 413, "MANIFEST_INVALID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := p.want(test.want, "PUT", "/v2/app/manifests/"+test.reference, []byte(test.body), "Content-Type: "+test.kind)
			if a.code() != test.code {
				t.Errorf("body = %s", a.body)
			}
			if test.want != 201 {
				return
			}
			got := p.want(200, "GET", a.location(), nil)
			if got.body != test.body || got.header.Get("Docker-Content-Digest") != a.header.Get("Docker-Content-Digest") {
				t.Errorf("GET %s = %s", a.location(), got.body)
			}
		})
	}
}

func TestManifestUnknown(t *testing.T) {
	for named, want := range map[bool]string{false: "MANIFEST_UNKNOWN", true: "NAME_UNKNOWN"} {
		r := New(Behaviour{ManifestGetUnknownName: named})
		p := newPeer(t, r)
		if a := p.want(404, "GET", "/v2/app/manifests/v1", nil); a.code() != want {
			t.Errorf("%v: %s", named, a.body)
		}
		r.CreateRepository("app")
		if a := p.want(404, "GET", "/v2/app/manifests/v1", nil); a.code() != "MANIFEST_UNKNOWN" {
			t.Errorf("%v, empty repository: %s", named, a.body)
		}
	}
	r := New(Behaviour{ManifestHeadStatus: 403})
	r.PutManifest("app", "v1", ociManifest, image([]byte("{}")))
	newPeer(t, r).want(403, "HEAD", "/v2/app/manifests/v1", nil)
	newPeer(t, r).want(200, "GET", "/v2/app/manifests/v1", nil)
}

func TestTagParams(t *testing.T) {
	body := image([]byte("{}"))
	byDigest := "/v2/app/manifests/" + digest.FromBytes(body).String() + "?tag=a&tag=b&tag=c"
	for _, test := range []struct {
		name  string
		b     Behaviour
		where string
		want  int
		tags  []string // in OCI-Tag and in the repository
	}{
		{"ignored", Behaviour{}, byDigest, 201, nil},
		{"honoured", Behaviour{TagParams: true}, byDigest, 201, []string{"a", "b", "c"}},
		{"two at most", Behaviour{TagParams: true, TagParamsMax: 2}, byDigest, 201, []string{"a", "b"}},
		{"by tag", Behaviour{TagParams: true}, "/v2/app/manifests/a?tag=b", 400, nil},
		{"by tag, named", Behaviour{TagHeader: true}, "/v2/app/manifests/a", 201, []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(test.b)
			r.PutBlob("app", []byte("{}"))
			a := newPeer(t, r).want(test.want, "PUT", test.where, body, asManifest)
			if got := a.header.Values("OCI-Tag"); !slices.Equal(got, test.tags) {
				t.Errorf("OCI-Tag = %q", got)
			}
			if got := r.Tags("app"); !slices.Equal(got, test.tags) {
				t.Errorf("Tags = %q", got)
			}
		})
	}
}

func TestManifestETags(t *testing.T) {
	one, two := image([]byte("{}")), image([]byte("{ }"))
	r := New(Behaviour{ManifestETags: true})
	r.PutBlob("app", []byte("{}"))
	r.PutBlob("app", []byte("{ }"))
	r.PutManifest("app", "v1", ociManifest, one)
	p := newPeer(t, r)
	tag := p.want(200, "GET", "/v2/app/manifests/v1", nil).header.Get("ETag")
	p.want(412, "PUT", "/v2/app/manifests/v2", one, asManifest, "If-Match: "+tag)
	p.want(201, "PUT", "/v2/app/manifests/v1", two, asManifest, "If-Match: "+tag)
	p.want(412, "PUT", "/v2/app/manifests/v1", one, asManifest, "If-Match: "+tag)
	p.want(201, "PUT", "/v2/app/manifests/v1", one, asManifest)
	r.SetBehaviour(func(b *Behaviour) { b.ManifestETags = false })
	if a := p.want(200, "GET", "/v2/app/manifests/v1", nil); a.header.Get("ETag") != "" {
		t.Error("an ETag by default")
	}
	p.want(201, "PUT", "/v2/app/manifests/v1", two, asManifest, "If-Match: "+tag)
}

func TestImmutableTags(t *testing.T) {
	r := New(Behaviour{ImmutableTags: true})
	r.PutBlob("app", []byte("{}"))
	r.PutBlob("app", []byte("{ }"))
	p := newPeer(t, r)
	p.want(201, "PUT", "/v2/app/manifests/v1", image([]byte("{}")), asManifest)
	p.want(201, "PUT", "/v2/app/manifests/v1", image([]byte("{}")), asManifest)
	if a := p.want(400, "PUT", "/v2/app/manifests/v1", image([]byte("{ }")), asManifest); a.code() != "TAG_INVALID" {
		t.Error(a.body)
	}
	p.want(201, "PUT", "/v2/app/manifests/v2", image([]byte("{ }")), asManifest)
}

func TestEventualManifest(t *testing.T) {
	r := New(Behaviour{EventualManifest: 2})
	p := newPeer(t, r)
	r.PutBlob("seeded", []byte("{}"))
	p.want(201, "PUT", "/v2/seeded/manifests/v1", image([]byte("{}")), asManifest)
	p.upload("app", []byte("{}"))
	for _, want := range []int{404, 404, 201, 201} {
		p.want(want, "PUT", "/v2/app/manifests/v1", image([]byte("{}")), asManifest)
	}
}

func TestDeleteManifest(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	d := r.PutManifest("app", "v1", ociManifest, image([]byte("{}")))
	r.PutManifest("app", "v2", ociManifest, image([]byte("{}")))
	p.want(202, "DELETE", "/v2/app/manifests/v1", nil)
	p.want(404, "HEAD", "/v2/app/manifests/v1", nil)
	p.want(200, "HEAD", "/v2/app/manifests/"+d.String(), nil)
	p.want(202, "DELETE", "/v2/app/manifests/"+d.String(), nil)
	p.want(404, "HEAD", "/v2/app/manifests/v2", nil)
	p.want(404, "DELETE", "/v2/app/manifests/v2", nil)
}

func TestLists(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	if a := p.want(404, "GET", "/v2/app/tags/list", nil); a.code() != "NAME_UNKNOWN" {
		t.Error(a.body)
	}
	body := image([]byte("{}"))
	for _, tag := range []string{"c", "a", "b"} {
		r.PutManifest("app", tag, ociManifest, body)
	}
	for query, want := range map[string]string{"": "abc", "?n=2": "ab", "?n=2&last=b": "c", "?last=a": "bc", "?n=0": "", "?n=3": "abc"} {
		a := p.want(200, "GET", "/v2/app/tags/list"+query, nil)
		var list struct{ Tags []string }
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(list.Tags, ""); got != want {
			t.Errorf("%s = %q, want %q", query, got, want)
		}
		if link := a.header.Get("Link"); link != "" != (query == "?n=2") {
			t.Errorf("%s: Link = %q", query, link)
		}
	}
	subject := digest.FromBytes(body)
	p.want(404, "GET", "/v2/app/referrers/"+subject.String(), nil)
	r.SetBehaviour(func(b *Behaviour) { b.Subject = true })
	r.PutBlob("app", []byte("{}"))
	artifact := `{"artifactType":"a/b","subject":{"digest":"` + subject.String() + `"},` + string(body[1:])
	a := p.want(201, "PUT", "/v2/app/manifests/art", []byte(artifact), asManifest)
	if got := a.header.Get("OCI-Subject"); got != subject.String() {
		t.Errorf("OCI-Subject = %q", got)
	}
	for query, want := range map[string]bool{"": true, "?artifactType=a/b": true, "?artifactType=c": false} {
		got := p.want(200, "GET", "/v2/app/referrers/"+subject.String()+query, nil)
		if strings.Contains(got.body, digest.FromString(artifact).String()) != want {
			t.Errorf("referrers%s = %s", query, got.body)
		}
	}
}
