package transport

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// Both forms of upload end with the blob in place, over every status that
// registries answer on the way.
func TestUpload(t *testing.T) {
	tests := []struct {
		name   string
		b      registrytest.Behaviour
		put    int
		stream int
	}{
		{"conforming", registrytest.Behaviour{}, 201, 201},
		{"PUT 204", registrytest.Behaviour{PutStatus: 204}, 204, 204},
		{"PUT 200", registrytest.Behaviour{PutStatus: 200}, 200, 200},
		{"PATCH 200", registrytest.Behaviour{PatchStatus: 200}, 201, 201},
		{"PATCH 201", registrytest.Behaviour{PatchStatus: 201}, 201, 201},
		{"PATCH 204", registrytest.Behaviour{PatchStatus: 204}, 201, 201},
		{"stale state", registrytest.Behaviour{LocationForm: registrytest.LocationStateQuery, StaleSession: 400}, 201, 201},
		{"PUT limit", registrytest.Behaviour{PutLimit: 50 << 10}, 413, 201},
		{"body limit", registrytest.Behaviour{BodyLimit: 50 << 10}, 413, 413},
	}
	d, body := content(pattern(100 << 10))
	for _, tt := range tests {
		for form, want := range map[string]int{"put": tt.put, "stream": tt.stream} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				registry, r := world(t, tt.b)
				a := send(t.Context(), open(t, r, d), form, d, body)
				wantStatus(t, form, a, want)
				got, stands := registry.Blob("app", d)
				if stands != (want < 300) || stands && digest.FromBytes(got) != d {
					t.Errorf("blob of %d bytes stands: %v", len(got), stands)
				}
				requests := 1
				if form == "stream" && want < 300 {
					requests = 2
				}
				if a.Requests != requests || want < 300 && (a.Sent != body.Size || a.Digest != d) || a.Sent > body.Size {
					t.Errorf("%d requests, %d bytes, digest %s", a.Requests, a.Sent, a.Digest)
				}
				for _, e := range registry.Log() {
					if e.Method != http.MethodPost && e.Header.Get("Content-Type") != "application/octet-stream" {
						t.Errorf("%s: Content-Type %q", e.Method, e.Header.Get("Content-Type"))
					}
				}
			})
		}
	}
}

// What a PATCH is answered with ends a stream, unless it went well.
func TestStreamEndsWithItsPatch(t *testing.T) {
	d, body := content(pattern(1000))
	for _, status := range []int{400, 401, 403, 404, 405, 413, 416, 500, 503} {
		registry, r := world(t, registrytest.Behaviour{})
		s := open(t, r, d)
		registry.Inject(registrytest.Fault{Do: registrytest.Status(status)})
		a := s.Stream(t.Context(), d, body)
		wantStatus(t, "stream", a, status)
		if n := len(registry.Log()); n != 2 || a.Requests != 1 {
			t.Errorf("%d: %d requests after the start, the answer counts %d", status, n-1, a.Requests)
		}
	}
}

// The registry that got other bytes than the digest names says so.
func TestUploadCorrupt(t *testing.T) {
	d, body := content(pattern(1000))
	for _, form := range []string{"put", "stream"} {
		registry, r := world(t, registrytest.Behaviour{})
		s := open(t, r, d)
		// The session has got a byte before, from somebody else.
		other, more := content([]byte("x"))
		early := *s
		a := early.repository.do(t.Context(), call{
			op: "upload blob", method: http.MethodPatch, url: early.url, digest: other, header: octets(), body: &more,
		})
		wantStatus(t, "patch", a, 202)
		a = send(t.Context(), s, form, d, body)
		if a.Status != 400 || !a.Corrupt || !a.Has(wire.CodeDigestInvalid) || a.Content {
			t.Errorf("%s: %+v", form, a)
		}
		if _, stands := registry.Blob("app", d); stands {
			t.Errorf("%s: the blob stands", form)
		}
	}
}

func TestSessionGone(t *testing.T) {
	d, body := content(pattern(1000))
	for _, form := range []string{"put", "stream"} {
		registry, r := world(t, registrytest.Behaviour{})
		s := open(t, r, d)
		registry.Inject(registrytest.Fault{Do: registrytest.SessionGone, Times: 1})
		if a := send(t.Context(), s, form, d, body); a.Status != 404 || !a.Has(wire.CodeBlobUploadUnknown) || a.Corrupt {
			t.Errorf("%s: %+v", form, a)
		}
	}
}

// Whatever a cancel is answered with is an answer, and a 401 asks for no token.
func TestCancel(t *testing.T) {
	for _, status := range []int{0, 400, 401, 404, 405, 500} {
		registry, r := world(t, registrytest.Behaviour{DeleteSession: status})
		a := open(t, r, digest.FromString("blob")).Cancel(t.Context())
		want, left := status, 1
		if status == 0 {
			want, left = 204, 0
		}
		wantStatus(t, "cancel", a, want)
		if n := registry.OpenSessions(); n != left || a.Requests != 1 {
			t.Errorf("%d: %d sessions open, %d requests", status, n, a.Requests)
		}
	}
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{})
	registry, r := world(t, registrytest.Behaviour{})
	early := open(t, r, digest.FromString("blob"))
	auth := tokens.Auth(realm)
	auth.DistributionDelete = true
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Auth = auth })
	if a := early.Cancel(t.Context()); a.Status != 401 || a.Requests != 1 || tokens.Count() != 0 {
		t.Errorf("without a token: %v, %d requests, %d tokens", a.Failure(), a.Requests, tokens.Count())
	}
	s := open(t, r, digest.FromString("blob"))
	before := tokens.Count()
	a := s.Cancel(t.Context())
	if a.Status != 401 || a.Requests != 1 || tokens.Count() != before {
		t.Errorf("distribution with tokens: %v, %d requests, %d tokens", a.Failure(), a.Requests, tokens.Count()-before)
	}
}

// A mount from what no token may read is not sent, and the target's uploads go on.
func TestMountWithoutToken(t *testing.T) {
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
		Users: map[string]registrytest.TokenUser{"alice": {Password: "secret", Access: []string{"app:pull,push", "base:pull"}}},
	})
	server := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
	r := newRepository(t, server.Host, "app", nil, as("alice", "secret"), patient(Retry{}))
	d := server.Registry.PutBlob("base", []byte("blob"))
	server.Registry.PutBlob("private", []byte("blob"))
	a, s := r.Mount(t.Context(), d, "base")
	if a.Status != 201 || s != nil || a.Requests != 2 {
		t.Errorf("readable: %v, %d requests", a.Failure(), a.Requests)
	}
	before := len(server.Registry.Log())
	a, s = r.Mount(t.Context(), d, "private")
	if a.Status != 401 || a.Err == nil || s != nil || a.Requests != 0 || len(server.Registry.Log()) != before {
		t.Errorf("not readable: %v, %d requests, %d seen", a.Failure(), a.Requests, len(server.Registry.Log())-before)
	}
	for source, want := range map[string]bool{"base": true, "private": false} {
		if readable, known := r.host.Readable(r.name, source); readable != want || !known {
			t.Errorf("%s: readable %v, known %v", source, readable, known)
		}
	}
	d, body := content([]byte("new"))
	wantStatus(t, "put", open(t, r, d).Put(t.Context(), d, body), 201)
}
