package registrytest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// measuredProbe is one request whose answer was measured on loopback, in the order of the columns below.
type measuredProbe struct {
	name string
	want [8]int
	do   func(p *peer, held, absent digest.Digest) int
}

// columns are the registries that were measured.
func columns() [8]string {
	return [8]string{"distribution-fork-2021", "distribution-2.8", "distribution-3", "ggcr", "cue", "olareg", "zot", "zot-no-dedupe"}
}

func get(method, target string) func(*peer, digest.Digest, digest.Digest) int {
	return func(p *peer, held, absent digest.Digest) int {
		target := strings.NewReplacer("HELD", held.String(), "ABSENT", absent.String()).Replace(target)
		return p.do(method, target, nil).status
	}
}

// onSession begins an upload and lets next go on with its URL.
func onSession(next func(p *peer, location string) int) func(*peer, digest.Digest, digest.Digest) int {
	return func(p *peer, _, _ digest.Digest) int { return next(p, p.begin()) }
}

func measuredProbes() []measuredProbe {
	return []measuredProbe{
		{"HEAD of a blob of another repository", [8]int{404, 404, 404, 200, 404, 404, 200, 404}, get("HEAD", "/v2/new/blobs/HELD")},
		{"mount from the source", [8]int{500, 201, 201, 202, 201, 201, 201, 202}, get("POST", "/v2/new/blobs/uploads/?mount=HELD&from=src")},
		{"no from, new repository", [8]int{202, 202, 202, 202, 202, 202, 201, 202}, get("POST", "/v2/new/blobs/uploads/?mount=HELD")},
		{"no from, held", [8]int{202, 202, 202, 202, 202, 201, 201, 201}, get("POST", "/v2/src/blobs/uploads/?mount=HELD")},
		{"no from, held nowhere", [8]int{202, 202, 202, 202, 202, 202, 202, 202}, get("POST", "/v2/new/blobs/uploads/?mount=ABSENT")},
		{"from missing", [8]int{202, 202, 202, 202, 404, 202, 201, 202}, get("POST", "/v2/new/blobs/uploads/?mount=HELD&from=no")},
		{"from without the blob", [8]int{202, 202, 202, 202, 404, 202, 202, 202}, get("POST", "/v2/new/blobs/uploads/?mount=ABSENT&from=src")},
		{"from itself, absent", [8]int{202, 202, 202, 202, 404, 202, 202, 202}, get("POST", "/v2/new/blobs/uploads/?mount=ABSENT&from=new")},
		{"DELETE of a session", [8]int{204, 204, 204, 400, 405, 204, 204, 204}, onSession(func(p *peer, location string) int {
			return p.do("DELETE", location, nil).status
		})},
		{"GET of a session", [8]int{204, 204, 204, 400, 204, 204, 204, 204}, onSession(func(p *peer, location string) int {
			return p.do("GET", location, nil).status
		})},
		{"POST with digest and body", [8]int{202, 202, 202, 201, 201, 201, 201, 201}, func(p *peer, _, _ digest.Digest) int {
			return p.do("POST", "/v2/new/blobs/uploads/?digest="+digest.FromString("x").String(), []byte("x")).status
		}},
		{"the same as text", [8]int{202, 202, 202, 201, 201, 201, 415, 415}, func(p *peer, _, _ digest.Digest) int {
			target := "/v2/new/blobs/uploads/?digest=" + digest.FromString("x").String()
			return p.do("POST", target, []byte("x"), "Content-Type: text/plain").status
		}},
		{"PUT of the wrong digest", [8]int{400, 400, 400, 400, 400, 400, 400, 400}, onSession(func(p *peer, location string) int {
			return p.do("PUT", withDigest(location, digest.FromString("x")), []byte("y")).status
		})},
		{"PATCH out of order", [8]int{416, 202, 416, 416, 416, 416, 416, 416}, onSession(func(p *peer, location string) int {
			return p.do("PATCH", location, []byte("x"), "Content-Range: 5-5").status
		})},
		{"manifest of absent blobs", [8]int{400, 400, 400, 201, 500, 400, 400, 400}, func(p *peer, _, _ digest.Digest) int {
			return p.do("PUT", "/v2/new/manifests/v1", image([]byte("{}")), asManifest).status
		}},
		{"chunked PUT", [8]int{201, 201, 201, 201, 201, 201, 400, 400}, onSession(func(p *peer, location string) int {
			return p.chunked("PUT", withDigest(strings.TrimPrefix(location, p.base), digest.FromString("x")), []byte("x")).status
		})},
		{"a session for another digest", [8]int{201, 201, 201, 201, 201, 500, 201, 201}, func(p *peer, _, absent digest.Digest) int {
			location := p.want(202, "POST", "/v2/new/blobs/uploads/?mount="+absent.String(), nil).location()
			return p.do("PUT", withDigest(location, digest.FromString("x")), []byte("x")).status
		}},
	}
}

// TestMeasuredAnswers compares the behaviours of known registries with what the real ones answered.
func TestMeasuredAnswers(t *testing.T) {
	for _, test := range measuredProbes() {
		for i, name := range columns() {
			b, ok := Lookup(name)
			if !ok {
				t.Fatalf("no %s", name)
			}
			r := New(b)
			held := r.PutBlob("src", []byte("held"))
			if got := test.do(newPeer(t, r), held, digest.FromString("absent")); got != test.want[i] {
				t.Errorf("%s: %s = %d, want %d", test.name, name, got, test.want[i])
			}
		}
	}
	if _, ok := Lookup("nothing"); ok {
		t.Error("Lookup found nothing")
	}
}

// TestEveryRegistryTakesAPush pushes an image plainly to every known registry; what the registry hands
// out must work, with the client's ways of internal/wire.
func TestEveryRegistryTakesAPush(t *testing.T) {
	config, layer := []byte("{}"), blobOf("layer", 10_000)
	for _, k := range Registries() {
		t.Run(k.Name, func(t *testing.T) {
			s := Start(t, k.Behaviour)
			s.Registry.CreateRepository("team/app")
			p := newPeer(t, s.Registry)
			p.transport, p.base = defaultTransport(t), s.URL
			for _, content := range [][]byte{config, layer} {
				plainUpload(t, p, content)
			}
			for try := 0; ; try++ {
				a := p.do("PUT", "/v2/team/app/manifests/v1", image(config, layer), asManifest)
				if a.status == 201 {
					break
				}
				if try == k.EventualManifest {
					t.Fatalf("manifest: %d %s", a.status, a.body)
				}
			}
			if err := s.Registry.Complete("team/app", "v1"); err != nil {
				t.Error(err)
			}
			if c := s.Registry.Count(); c.BytesTwice != 0 || c.SessionsOpen != 0 {
				t.Errorf("Count = %+v", c)
			}
		})
	}
}

// plainUpload sends a blob by POST, PATCH and PUT.
func plainUpload(t *testing.T, p *peer, content []byte) {
	t.Helper()
	base, err := http.NewRequest("POST", p.base+"/v2/team/app/blobs/uploads/", nil)
	if err != nil {
		t.Fatal(err)
	}
	place, err := wire.ResolveLocation(base.URL, p.want(202, "POST", "/v2/team/app/blobs/uploads/", nil).location())
	if err != nil {
		t.Fatal(err)
	}
	a := p.do("PATCH", place.String(), content)
	if a.status/100 != 2 {
		t.Fatalf("PATCH = %d %s", a.status, a.body)
	}
	if place, err = wire.ResolveLocation(place, a.location()); err != nil {
		t.Fatal(err)
	}
	p.want(201, "PUT", wire.WithDigest(place, digest.FromBytes(content)).String(), nil)
}
