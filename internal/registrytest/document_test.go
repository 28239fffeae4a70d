package registrytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// entry is a descriptor in JSON.
func entry(mediaType string, d digest.Digest, size int, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, mediaType, d, size, more)
}

func TestComplete(t *testing.T) {
	const layerType = "application/vnd.oci.image.layer.v1.tar"
	absent := digest.FromString("absent")
	withLayer := func(layer string) string {
		return `{"schemaVersion":2,"config":` + entry("a/b", digest.FromString("{}"), 2, "") + `,"layers":[` + layer + `]}`
	}
	index := func(children ...string) string {
		return `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + strings.Join(children, ",") + `]}`
	}
	good := withLayer(entry(layerType, digest.FromString("layer"), 5, ""))
	bad := withLayer(entry(layerType, absent, 5, ""))
	child := func(body string) string { return entry(ociManifest, digest.FromString(body), len(body), "") }
	inner := index(child(good))
	innerBad := index(child(bad))
	for _, test := range []struct {
		name, mediaType, body string
		want                  string // in the error, "" for none
	}{
		{"good", ociManifest, good, ""},
		{"layer missing", ociManifest, bad, "layer " + absent.String() + " is missing"},
		{"config missing", ociManifest, `{"schemaVersion":2,"config":` + entry("a/b", absent, 2, "") + `}`, "config " + absent.String() + " is missing"},
		{"wrong size", ociManifest, withLayer(entry(layerType, digest.FromString("layer"), 6, "")), "has 5 bytes"},
		{"wrong content", ociManifest, withLayer(entry(layerType, digest.FromString("rotten"), 5, "")), "other content"},
		{"urls only", ociManifest, withLayer(entry(layerType, absent, 5, `,"urls":["https://x"]`)), ""},
		{"non-distributable", ociManifest, withLayer(entry("application/vnd.oci.image.layer.nondistributable.v1.tar", absent, 5, "")), ""},
		{"foreign", ociManifest, withLayer(entry("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", absent, 5, "")), ""},
		{"index", ociIndex, index(child(good)), ""},
		{"index of an index", ociIndex, index(entry(ociIndex, digest.FromString(inner), len(inner), "")), ""},
		{"index of a blob", ociIndex, index(entry("a/b", digest.FromString("layer"), 5, "")), ""},
		{"child missing", ociIndex, index(entry(ociManifest, absent, 5, "")), "manifest " + absent.String() + " is missing"},
		{"blob of a child missing", ociIndex, index(child(bad)), "layer " + absent.String()},
		{"blob of a grandchild missing", ociIndex, index(entry(ociIndex, digest.FromString(innerBad), len(innerBad), "")), "layer " + absent.String()},
		{"no manifest", ociManifest, "{}", "schemaVersion"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(Behaviour{})
			r.PutBlob("app", []byte("{}"))
			r.PutBlob("app", []byte("layer"))
			r.repos["app"].blobs[digest.FromString("rotten")] = &blob{data: []byte("layer"), size: 5}
			for _, body := range []string{good, bad, inner, innerBad} {
				kind := ociManifest
				if strings.Contains(body, "manifests") {
					kind = ociIndex
				}
				r.PutManifest("app", "", kind, []byte(body))
			}
			d := r.PutManifest("app", "v1", test.mediaType, []byte(test.body))
			for _, reference := range []string{"v1", d.String()} {
				err := r.Complete("app", reference)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("Complete(%s) = %v, want %q", reference, err, test.want)
				}
			}
			if got := r.Tags("app"); len(got) != 1 {
				t.Errorf("Tags = %q", got)
			}
		})
	}
}

func TestCompleteBounds(t *testing.T) {
	r := New(Behaviour{})
	body := []byte(`{"schemaVersion":2,"manifests":[]}`)
	for range maxDepth + 2 {
		d := r.PutManifest("app", "", ociIndex, body)
		body = []byte(`{"schemaVersion":2,"manifests":[` + entry(ociIndex, d, len(body), "") + `]}`)
	}
	r.PutManifest("app", "deep", ociIndex, body)
	if err := r.Complete("app", "deep"); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Errorf("deep: %v", err)
	}
	d := r.PutManifest("app", digest.FromString("other").String(), ociIndex, []byte(`{"schemaVersion":2}`))
	if err := r.Complete("app", d.String()); err == nil || !strings.Contains(err.Error(), "other content") {
		t.Errorf("other content: %v", err)
	}
	if err := r.Complete("no", "v1"); err == nil {
		t.Error("no repository: nil")
	}
}

// TestPutChecksPieces: a PUT asks for the same pieces as Complete.
func TestPutChecksPieces(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	child := image([]byte("{}"))
	index := `{"schemaVersion":2,"manifests":[` + entry(ociManifest, digest.FromBytes(child), len(child), "") + `]}`
	p.want(400, "PUT", "/v2/app/manifests/v1", []byte(index), "Content-Type: "+ociIndex)
	p.want(400, "PUT", "/v2/app/manifests/child", child, asManifest)
	r.PutBlob("app", []byte("{}"))
	p.want(201, "PUT", "/v2/app/manifests/child", child, asManifest)
	p.want(201, "PUT", "/v2/app/manifests/v1", []byte(index), "Content-Type: "+ociIndex)
	if err := r.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
}
