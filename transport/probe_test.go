package transport

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// A single POST stores the blob, or opens a session, or is refused.
func TestSingle(t *testing.T) {
	d, body := content(pattern(1000))
	for _, tt := range []struct {
		b       registrytest.Behaviour
		status  int
		session bool
	}{
		{registrytest.Behaviour{}, 202, true},
		{registrytest.Behaviour{SinglePost: registrytest.SinglePostTaken}, 201, false},
		{registrytest.Behaviour{SinglePost: registrytest.SinglePostOctetStream}, 201, false},
		{registrytest.Behaviour{BodyLimit: 10}, 413, false},
	} {
		registry, r := world(t, tt.b)
		a, s := r.Single(t.Context(), d, body)
		wantStatus(t, "single", a, tt.status)
		if _, stands := registry.Blob("app", d); stands != (tt.status == 201) || (s != nil) != tt.session || a.Sent != body.Size {
			t.Errorf("%d: stands %v, session %v, %d bytes sent", tt.status, stands, s != nil, a.Sent)
		}
	}
}

// A manifest is put with its tags in one request, and a 500 is not repeated.
func TestPutTagged(t *testing.T) {
	for _, honoured := range []bool{false, true} {
		registry, r := world(t, registrytest.Behaviour{TagParams: honoured})
		a := r.PutTagged(t.Context(), indexV1, []byte(emptyIndex), "a", "b")
		wantStatus(t, "put", a, 201)
		want := []string{"a", "b"}
		if !honoured {
			want = nil
		}
		if !slices.Equal(a.Tags(), want) || !slices.Equal(registry.Tags("app"), want) || !slices.Equal(registry.Log()[0].Tags, []string{"a", "b"}) {
			t.Errorf("%v: the answer says %q, there are %q", honoured, a.Tags(), registry.Tags("app"))
		}
	}
	registry, _ := world(t, registrytest.Behaviour{})
	r := newRepository(t, publicHost, "app", registry.Client(), patient(DefaultRetry()))
	registry.Inject(registrytest.Fault{Do: registrytest.Status(500)})
	a := r.PutTagged(t.Context(), indexV1, []byte(emptyIndex))
	wantStatus(t, "put", a, 500)
	if a.Requests != 1 {
		t.Errorf("%d requests", a.Requests)
	}
}

// Referrers are listed where the registry answers OCI-Subject.
func TestReferrers(t *testing.T) {
	subject := digest.FromString(emptyIndex)
	body := []byte(`{"schemaVersion":2,"mediaType":"` + indexV1 + `","manifests":[],"subject":{"mediaType":"` + indexV1 +
		`","digest":"` + subject.String() + `","size":1}}`)
	for _, honoured := range []bool{false, true} {
		_, r := world(t, registrytest.Behaviour{Subject: honoured})
		a := r.PutTagged(t.Context(), indexV1, body)
		wantStatus(t, "put", a, 201)
		if (a.Subject() == subject) != honoured || a.Subject() != "" && !honoured {
			t.Errorf("%v: subject %q", honoured, a.Subject())
		}
		a, list := r.Referrers(t.Context(), subject)
		wantStatus(t, "referrers", a, map[bool]int{true: 200, false: 404}[honoured])
		if slices.Contains(list, digest.FromBytes(body)) != honoured {
			t.Errorf("%v: listed %q", honoured, list)
		}
	}
}

// What is deleted is gone, what was not there is 404.
func TestDelete(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	blob := registry.PutBlob("app", []byte("blob"))
	manifest := registry.PutManifest("app", "v1", indexV1, []byte(emptyIndex))
	for i, want := range []int{202, 404} {
		wantStatus(t, "delete blob", r.DeleteBlob(t.Context(), blob), want)
		wantStatus(t, "delete tag", r.DeleteManifest(t.Context(), "v1"), want)
		if _, _, stands := registry.Manifest("app", manifest.String()); stands != (i == 0) {
			t.Errorf("round %d: the manifest stands: %v", i, stands)
		}
		wantStatus(t, "delete manifest", r.DeleteManifest(t.Context(), manifest.String()), want)
	}
	if _, stands := registry.Blob("app", blob); stands || len(registry.Tags("app")) > 0 {
		t.Error("something stands")
	}
}

// Deleting asks for a token of its own, and a refusal leaves that of the pushes be.
func TestDeleteToken(t *testing.T) {
	for access, want := range map[string]int{"app:pull,push,delete": 404, "app:pull,push": 401} {
		tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
			Users: map[string]registrytest.TokenUser{"alice": {Password: "secret", Access: []string{access}}},
		})
		server := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
		r := newRepository(t, server.Host, "app", nil, as("alice", "secret"))
		d, body := content([]byte("new"))
		s := open(t, r, d)
		wantStatus(t, access, r.DeleteBlob(t.Context(), d), want)
		before := tokens.Count()
		wantStatus(t, "put", s.Put(t.Context(), d, body), 201)
		if n := tokens.Count() - before; n > 0 {
			t.Errorf("%s: %d more tokens for an upload", access, n)
		}
	}
}

// Parts go on where the session stands, and an empty PUT closes it.
func TestParts(t *testing.T) {
	d, body := content(pattern(100 << 10))
	for _, form := range []registrytest.LocationForm{
		registrytest.LocationRelative, registrytest.LocationAbsolute, registrytest.LocationStateQuery, registrytest.LocationOtherPath,
	} {
		registry, r := world(t, registrytest.Behaviour{LocationForm: form, ChunkMin: 1000})
		s := open(t, r, d)
		if s.Least() != 1000 {
			t.Errorf("least %d", s.Least())
		}
		for from := int64(0); from < body.Size; from += 40 << 10 {
			a, offset, ok := s.Stands(t.Context())
			wantStatus(t, "stands", a, 204)
			if offset != from || !ok {
				t.Errorf("stands at %d, want %d", offset, from)
			}
			to := min(from+40<<10, body.Size)
			a = s.Part(t.Context(), d, body, from, to)
			wantStatus(t, "part", a, 202)
			if a.Sent != to-from {
				t.Errorf("sent %d of %d to %d", a.Sent, from, to)
			}
		}
		wantStatus(t, "finish", s.Finish(t.Context(), d), 201)
		if got, _ := registry.Blob("app", d); digest.FromBytes(got) != d {
			t.Errorf("%d bytes stand", len(got))
		}
	}
}

// A session that says nothing of where it stands, and content that is wrong.
func TestPartsRefused(t *testing.T) {
	d, body := content(pattern(2000))
	_, r := world(t, registrytest.Behaviour{StatusSession: 404})
	if a, _, ok := open(t, r, d).Stands(t.Context()); a.Status != 404 || ok {
		t.Errorf("stands: %v, %v", a.Failure(), ok)
	}
	registry, r := world(t, registrytest.Behaviour{})
	other := digest.FromString("other")
	if a := open(t, r, other).Part(t.Context(), other, body, 0, 1000); !a.Content || a.Requests != 0 || registry.Count().Bytes > 0 {
		t.Errorf("content of another digest: %+v", a)
	}
	s := open(t, r, d)
	registry.Inject(registrytest.Fault{Do: registrytest.RangeInvalid})
	if a := s.Part(t.Context(), d, body, 0, 1000); a.Status != 416 {
		t.Errorf("out of order: %v", a.Failure())
	}
}

// The form of a Location is told, and nothing of its content.
func TestLocation(t *testing.T) {
	for text, want := range map[string]Location{
		"":                                 {},
		"%zz":                              {},
		"/v2/a/blobs/uploads/x":            {Given: true, Relative: true},
		"?state=1":                         {Given: true, Relative: true, Query: true},
		"//other/x":                        {Given: true, Foreign: true},
		"https://registry.test/x?state=1":  {Given: true, Query: true},
		"https://registry.test:443/x":      {Given: true},
		"https://registry.test:5000/x":     {Given: true, Foreign: true},
		"http://registry.test/x":           {Given: true, Foreign: true},
		"https://signed.test/x?signature=": {Given: true, Foreign: true, Query: true},
	} {
		a := Answer{url: &url.URL{Scheme: "https", Host: publicHost, Path: "/v2/"}, header: http.Header{"Location": {text}}}
		if got := a.Location(); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if (Answer{}).Location().Given || (Answer{header: http.Header{"Oci-Subject": {"x"}}}).Subject() != "" {
		t.Error("something where nothing is")
	}
}

// What the requests of a probe are on the wire.
func TestProbeKinds(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	d, body := content([]byte("blob"))
	r.Single(t.Context(), d, body)
	r.PutTagged(t.Context(), indexV1, []byte(emptyIndex), "v1")
	r.Referrers(t.Context(), d)
	r.DeleteBlob(t.Context(), d)
	r.DeleteManifest(t.Context(), "v1")
	var kinds []wire.Kind
	for _, e := range registry.Log() {
		kinds = append(kinds, e.Kind)
	}
	want := []wire.Kind{wire.UploadSingle, wire.ManifestPut, wire.Referrers, wire.BlobDelete, wire.ManifestDelete}
	if !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
}
