package transport

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// world is a registry on loopback, and its repository app.
func world(t *testing.T, b registrytest.Behaviour) (*registrytest.Registry, *Repository) {
	t.Helper()
	server := registrytest.Start(t, b)
	return server.Registry, newRepository(t, server.Host, "app", nil)
}

func TestCheck(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	d := registry.PutBlob("app", []byte("here"))
	if a := r.Check(t.Context(), d); a.Status != 200 || !a.OK() || !a.Heard() || a.Digest != d || a.Requests != 1 || a.Sent != 0 || a.Err != nil {
		t.Errorf("present: %+v", a)
	}
	a := r.Check(t.Context(), digest.FromString("elsewhere"))
	if a.Status != 404 || a.OK() || !a.Heard() || a.Digest != "" || a.Errors != nil || a.Err != nil {
		t.Errorf("absent: %+v", a)
	}
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.HeadSize = 86 }) // the digest of something else
	if a := r.Check(t.Context(), d); a.Status != 200 || a.Digest == d || a.Digest == "" {
		t.Errorf("another digest: %+v", a)
	}
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.HeadSize, b.HeadStatus = 0, 405 })
	wantStatus(t, "no HEAD", r.Check(t.Context(), d), 405)
}

// A HEAD that gives no Content-Length, as behind some proxies, is an answer.
func TestCheckWithoutContentLength(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		write(w, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	})
	wantStatus(t, "check", newRepository(t, s.host, "app", nil).Check(t.Context(), digest.FromString("blob")), 200)
}

func TestMount(t *testing.T) {
	const here, base = "here", "base layer"
	tests := []struct {
		name    string
		b       registrytest.Behaviour
		blob    string
		from    string
		status  int
		code    wire.Code
		session bool
	}{
		{"from a source", registrytest.Behaviour{}, base, "base", 201, "", false},
		{"from a source that lacks it", registrytest.Behaviour{}, "nowhere", "base", 202, "", true},
		{"from itself", registrytest.Behaviour{}, here, "app", 201, "", false},
		{"from nowhere", registrytest.Behaviour{}, base, "", 202, "", true},
		{"discovered", registrytest.Behaviour{Discovery: registrytest.DiscoveryOn}, base, "", 201, "", false},
		{"no session", registrytest.Behaviour{AcceptedWithoutLocation: true}, base, "", 202, "", false},
		{"no Location of the blob", registrytest.Behaviour{CreatedWithoutLocation: true}, base, "base", 201, "", false},
		{"source unknown", registrytest.Behaviour{MountFromMissing: 404}, base, "none", 404, wire.CodeNameUnknown, false},
		{"blob unknown", registrytest.Behaviour{MountBlobMissing: 404}, "nowhere", "base", 404, wire.CodeBlobUnknown, false},
		{"refused", registrytest.Behaviour{MountStatus: 405}, base, "base", 405, wire.CodeUnsupported, false},
		{"unauthorized", registrytest.Behaviour{MountStatus: 401}, base, "base", 401, wire.CodeUnauthorized, false},
		{"denied", registrytest.Behaviour{MountStatus: 403}, base, "base", 403, wire.CodeDenied, false},
		{"error", registrytest.Behaviour{MountErrorsThoughMounted: true}, base, "base", 500, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry, r := world(t, tt.b)
			registry.PutBlob("base", []byte(base))
			registry.PutBlob("app", []byte(here))
			d, body := content([]byte(tt.blob))
			a, s := r.Mount(t.Context(), d, tt.from)
			wantStatus(t, "mount", a, tt.status)
			if (s != nil) != tt.session || a.Requests != 1 || a.Sent != 0 || a.Err != nil {
				t.Errorf("session %v, answer %+v", s, a)
			}
			if tt.code != "" && !a.Has(tt.code) {
				t.Errorf("reasons %v, want %s", a.Errors, tt.code)
			}
			if tt.status == 201 && a.Digest != d {
				t.Errorf("digest %s, want %s", a.Digest, d)
			}
			if s != nil {
				wantStatus(t, "put", s.Put(t.Context(), d, body), 201)
			}
			if _, stands := registry.Blob("app", d); tt.status < 203 && stands != (tt.status == 201 || tt.session) {
				t.Errorf("blob stands: %v", stands)
			}
		})
	}
}

// A mount's digest is what the registry says it is, or none.
func TestMountDigest(t *testing.T) {
	for form, want := range map[registrytest.DigestHeader]string{
		registrytest.DigestRight: "right", registrytest.DigestOther: "other", registrytest.DigestNone: "none",
	} {
		registry, r := world(t, registrytest.Behaviour{MountDigest: form})
		d := registry.PutBlob("base", []byte("blob"))
		a, _ := r.Mount(t.Context(), d, "base")
		got := "other"
		switch a.Digest {
		case d:
			got = "right"
		case "":
			got = "none"
		}
		if got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}
}

// A digest algorithm other than the usual one is announced.
func TestStart(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		_, body := content([]byte("blob"))
		d := algorithm.FromString("blob")
		wantStatus(t, "put", open(t, r, d).Put(t.Context(), d, body), 201)
		if _, stands := registry.Blob("app", d); !stands {
			t.Errorf("%s: the blob does not stand", algorithm)
		}
	}
	log := registry.Log()
	if got := log[0].URL + " " + log[2].URL; got != "/v2/app/blobs/uploads/ /v2/app/blobs/uploads/?digest-algorithm=sha512" {
		t.Errorf("requests %s", got)
	}
}

func TestManifest(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	d := registry.PutManifest("app", "v1", indexV1, []byte(emptyIndex))
	for _, reference := range []string{"v1", d.String()} {
		a, m := r.Manifest(t.Context(), reference)
		if a.Status != 200 || a.Digest != d || a.Requests != 1 || m.MediaType != indexV1 || m.Digest != d || string(m.Body) != emptyIndex {
			t.Errorf("%s: %+v, %+v", reference, a, m)
		}
		a = r.HasManifest(t.Context(), reference)
		if a.Status != 200 || a.Digest != d || a.Requests != 1 {
			t.Errorf("%s: %+v", reference, a)
		}
	}
	for _, e := range registry.Log() {
		for _, kind := range []string{manifestV1, indexV1, "vnd.docker.distribution.manifest.v2+json", "vnd.docker.distribution.manifest.list.v2+json"} {
			if !strings.Contains(e.Header.Get("Accept"), kind) {
				t.Errorf("%s accepts %q", e.Method, e.Header.Get("Accept"))
			}
		}
	}
	a, m := r.Manifest(t.Context(), "v2")
	if a.Status != 404 || !a.Has(wire.CodeManifestUnknown) || m.Body != nil || m.Digest != "" {
		t.Errorf("absent: %+v, %+v", a, m)
	}
	wantStatus(t, "absent", r.HasManifest(t.Context(), "v2"), 404)
}

// A manifest that is not what the digest names is not given, whatever the
// algorithm.
func TestManifestOfAnotherDigest(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := algorithm.FromString(emptyIndex)
		registry.PutManifest("app", d.String(), indexV1, []byte(emptyIndex))
		a, m := r.Manifest(t.Context(), d.String())
		if a.Status != 200 || string(m.Body) != emptyIndex || m.Digest != digest.FromString(emptyIndex) {
			t.Errorf("%s, right: %v, %+v", algorithm, a.Failure(), m)
		}
		registry.Inject(registrytest.Fault{Do: registrytest.WrongDigest, Times: 1})
		a, m = r.Manifest(t.Context(), d.String())
		if a.Status != 200 || m.Body != nil || m.Digest != "" || m.MediaType != "" {
			t.Errorf("%s, wrong: %v, %+v", algorithm, a.Failure(), m)
		}
	}
}

func TestPutManifest(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{TagParams: true})
	a := r.PutManifest(t.Context(), "v1", indexV1, []byte(emptyIndex))
	if want := digest.FromString(emptyIndex); a.Status != 201 || a.Digest != want || a.Requests != 1 || a.Sent != 0 {
		t.Errorf("%+v", a)
	}
	if body, mediaType, ok := registry.Manifest("app", "v1"); string(body) != emptyIndex || mediaType != indexV1 || !ok {
		t.Errorf("stands: %q, %q, %v", body, mediaType, ok)
	}
	blob, layer := digest.FromString("config"), digest.FromString("layer")
	image := `{"schemaVersion":2,"mediaType":"` + manifestV1 + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` +
		blob.String() + `","size":6},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + layer.String() + `","size":5}]}`
	a = r.PutManifest(t.Context(), "v2", manifestV1, []byte(image))
	missing := a.Missing()
	slices.Sort(missing)
	want := []digest.Digest{blob, layer}
	slices.Sort(want)
	if a.Status != 400 || !a.Has(wire.CodeManifestBlobUnknown) || a.Has(wire.CodeDenied) || !slices.Equal(missing, want) {
		t.Errorf("with missing blobs: %v, missing %v", a.Failure(), missing)
	}
}

// Tags are those that the registry says it has set.
func TestAnswerTags(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Oci-Tag"] = []string{"v1", "latest"}
		w.WriteHeader(http.StatusCreated)
	})
	a := newRepository(t, s.host, "app", nil).PutManifest(t.Context(), "v1", indexV1, []byte(emptyIndex))
	if !slices.Equal(a.Tags(), []string{"v1", "latest"}) {
		t.Errorf("tags %v", a.Tags())
	}
	if got := (Answer{}).Tags(); len(got) != 0 {
		t.Errorf("tags of no answer: %v", got)
	}
}

// With a digest, tags can be set as well.
func TestPutManifestTags(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{TagParams: true})
	d := digest.FromString(emptyIndex)
	a := r.PutManifest(t.Context(), d.String(), indexV1, []byte(emptyIndex), "v1", "latest")
	if want := []string{"v1", "latest"}; a.Status != 201 || !slices.Equal(a.Tags(), want) || len(registry.Tags("app")) != 2 {
		t.Errorf("%v, tags %v", a.Failure(), a.Tags())
	}
}

// A manifest is replaced only where its tag still stands as it was read.
func TestReplaceManifest(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{ManifestETags: true})
	registry.PutManifest("app", "v1", indexV1, []byte(emptyIndex))
	a, _ := r.Manifest(t.Context(), "v1")
	etag := a.ETag()
	if etag == "" {
		t.Fatal("no ETag")
	}
	wantStatus(t, "as it was", r.ReplaceManifest(t.Context(), "v1", indexV1, []byte(emptyIndex+" "), etag), 201)
	wantStatus(t, "changed since", r.ReplaceManifest(t.Context(), "v1", indexV1, []byte(emptyIndex+"  "), etag), 412)
	wantStatus(t, "without a condition", r.ReplaceManifest(t.Context(), "v1", indexV1, []byte(emptyIndex+"  "), ""), 201)
	if got := (Answer{header: http.Header{"Etag": {`W/"x"`}}}).ETag(); got != "" {
		t.Errorf("a weak ETag: %s", got)
	}
}

func TestTags(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	if a := r.Tags(t.Context(), 1); a.Status != 404 || !a.Has(wire.CodeNameUnknown) {
		t.Errorf("no repository: %+v", a)
	}
	registry.PutManifest("app", "v1", indexV1, []byte(emptyIndex))
	if a := r.Tags(t.Context(), 1); a.Status != 200 || a.Requests != 1 || a.Errors != nil {
		t.Errorf("a repository: %+v", a)
	}
	if url := registry.Log()[1].URL; url != "/v2/app/tags/list?n=1" {
		t.Errorf("asked %s", url)
	}
}

// Every request says who asks.
func TestUserAgent(t *testing.T) {
	for _, agent := range []string{"", "someone/1.0"} {
		server := registrytest.Start(t, registrytest.Behaviour{})
		r := newRepository(t, server.Host, "app", nil, func(c *Config) { c.UserAgent = agent })
		for _, c := range calls() {
			c.run(t.Context(), r)
		}
		want := agent
		if want == "" {
			want = "crossmount"
		}
		for _, e := range server.Registry.Log() {
			if got := e.Header.Get("User-Agent"); got != want {
				t.Errorf("%s: user agent %q, want %q", e.Method, got, want)
			}
		}
	}
}
