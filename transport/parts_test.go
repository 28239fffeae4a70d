package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// isPatch matches the PATCHes of an upload.
func isPatch(e registrytest.Entry) bool { return e.Kind == wire.UploadChunk }

// Chunks arrive in order, none smaller than the registry wants but the last.
func TestChunks(t *testing.T) {
	const size = 100 << 10
	d, body := content(pattern(size))
	for _, tt := range []struct {
		chunk, least int64
		patches      int
	}{{64 << 10, 0, 2}, {size, 0, 1}, {size + 1, 0, 1}, {30 << 10, 0, 4}, {1 << 10, 40 << 10, 3}, {0, 40 << 10, 3}, {size - 1, 0, 2}} {
		registry, r := world(t, registrytest.Behaviour{ChunkMin: tt.least, LocationForm: registrytest.LocationStateQuery})
		a := open(t, r, d).Chunks(t.Context(), d, body, tt.chunk)
		wantStatus(t, "chunks", a, 201)
		if n := registry.Count().ByKind[wire.UploadChunk]; n != tt.patches || a.Requests != n+1 || a.Sent != size {
			t.Errorf("%+v: %d PATCHes, %d requests, %d bytes", tt, n, a.Requests, a.Sent)
		}
		if got, _ := registry.Blob("app", d); !bytes.Equal(got, pattern(size)) {
			t.Errorf("%+v: %d bytes stand", tt, len(got))
		}
	}
}

// A chunk that is sent again, after a rate limit or for a new token, is the same
// chunk.
func TestChunkSentAgain(t *testing.T) {
	const size = 200 << 10
	d, body := content(pattern(size))
	for _, scheme := range []string{"rate limit", "new token"} {
		tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{})
		server := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
		r := newRepository(t, server.Host, "app", nil, patient(Retry{Base: time.Millisecond}))
		s := open(t, r, d)
		opened := 0
		counted := Body{size, func() (io.ReadCloser, error) {
			if opened++; opened == 1 && scheme == "new token" {
				tokens.Revoke()
			}
			return body.Open()
		}}
		if scheme == "rate limit" {
			server.Registry.Inject(registrytest.Fault{Match: isPatch, Skip: 1, Times: 2, Do: registrytest.Status(429)})
		}
		a := s.Chunks(t.Context(), d, counted, 64<<10)
		wantStatus(t, scheme, a, 201)
		if got, _ := server.Registry.Blob("app", d); !bytes.Equal(got, pattern(size)) {
			t.Errorf("%s: %d bytes stand", scheme, len(got))
		}
		if opened < 2 || a.Sent <= size {
			t.Errorf("%s: the content was opened %d times, %d bytes sent", scheme, opened, a.Sent)
		}
	}
}

// An upload that was cut goes on where it stands, and only the rest is sent.
func TestResume(t *testing.T) {
	const size = 200 << 10
	d, body := content(pattern(size))
	for _, chunk := range []int64{0, 50 << 10} {
		for _, do := range []registrytest.FaultKind{registrytest.CutBody, registrytest.ResetAfter, 503} {
			registry, r := world(t, registrytest.Behaviour{})
			s := open(t, r, d)
			registry.Inject(registrytest.Fault{Match: isPatch, Skip: 1, Times: 1, Do: do})
			if a := s.Chunks(t.Context(), d, body, 80<<10); a.OK() {
				t.Fatalf("%s: %v", do, a.Failure())
			}
			a := s.Resume(t.Context(), d, body, chunk)
			wantStatus(t, "resume", a, 201)
			if got, _ := registry.Blob("app", d); !bytes.Equal(got, pattern(size)) || a.Sent > 120<<10 || a.Sent < 40<<10 {
				t.Errorf("%s in chunks of %d: %d bytes stand, %d were sent", do, chunk, len(got), a.Sent)
			}
		}
	}
}

// What cannot be gone on with is an answer, and nothing is sent.
func TestResumeRefused(t *testing.T) {
	d, body := content(pattern(1000))
	registry, r := world(t, registrytest.Behaviour{StatusSession: 404})
	s := open(t, r, d)
	if a := s.Resume(t.Context(), d, body, 0); a.Status != 404 || a.Sent != 0 || a.Requests != 1 {
		t.Errorf("session gone: %v, %d bytes", a.Failure(), a.Sent)
	}
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.StatusSession, b.FreshRange = 0, "nonsense" })
	if a := s.Resume(t.Context(), d, body, 0); a.OK() || a.Sent != 0 {
		t.Errorf("a Range that is none: %v, %d bytes", a.Failure(), a.Sent)
	}
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.FreshRange = "0-5000" })
	if a := s.Resume(t.Context(), d, body, 0); a.OK() || a.Sent != 0 {
		t.Errorf("a Range beyond the blob: %v, %d bytes", a.Failure(), a.Sent)
	}
	registry.SetBehaviour(func(b *registrytest.Behaviour) { b.FreshRange = "" })
	bad := Body{1000, func() (io.ReadCloser, error) { return nil, errDisk }}
	if a := s.Resume(t.Context(), d, bad, 0); a.Heard() || !a.Content || !errors.Is(a.Failure(), errDisk) {
		t.Errorf("content that cannot be opened: %v", a.Failure())
	}
	if a := s.Resume(t.Context(), d, body, 0); a.Status != 201 {
		t.Errorf("after all: %v", a.Failure())
	}
}

// A request that stalls is cut; time that its content takes to be read is not
// counted, nor that of a reply that goes on.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := registrytest.New(registrytest.Behaviour{})
		r := newRepository(t, publicHost, "app", registry.Client(), func(c *Config) { c.Stall = 20 * time.Second })
		d, body := content(pattern(1000))
		s, slow := open(t, r, d), open(t, r, d)
		registry.Inject(registrytest.Fault{Do: registrytest.Stall, Times: 2})
		for _, c := range []struct {
			what string
			run  func() Answer
			took time.Duration
			late bool
		}{
			{"check", func() Answer { return r.Check(t.Context(), d) }, 20 * time.Second, false},
			{"put, all of it", func() Answer { return s.Put(t.Context(), d, body) }, time.Minute, true},
			{"put, some of it", func() Answer { return stuck(t, d).Put(t.Context(), d, body) }, 20 * time.Second, false},
		} {
			began := time.Now()
			a := c.run()
			if took := time.Since(began); a.Heard() || !errors.Is(a.Failure(), errStalled) || took != c.took || a.Late != c.late {
				t.Errorf("%s: %v after %v, late %v", c.what, a.Failure(), took, a.Late)
			}
		}
		lazy := func() (io.ReadCloser, error) { return io.NopCloser(&lazyReader{bytes.NewReader(pattern(1000))}), nil }
		wantStatus(t, "slow content", slow.Put(t.Context(), d, Body{1000, lazy}), 201)
		registry.SetBehaviour(func(b *registrytest.Behaviour) { b.Latency = 19 * time.Second })
		wantStatus(t, "slow registry", r.Check(t.Context(), d), 200)
	})
}

// stuck returns a session with a registry that takes 100 bytes and no more.
func stuck(t *testing.T, d digest.Digest) *Session {
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			w.Header().Set("Location", "/v2/app/blobs/uploads/1")
			w.WriteHeader(202)
			return
		}
		if _, err := io.ReadFull(req.Body, make([]byte, 100)); err != nil {
			t.Error(err)
		}
		<-req.Context().Done()
	})
	return open(t, newRepository(t, publicHost, "app", registrytest.Network{publicHost: h}, func(c *Config) { c.Stall = 20 * time.Second }), d)
}

// lazyReader takes a minute for each 400 bytes.
type lazyReader struct{ r io.Reader }

func (l *lazyReader) Read(p []byte) (int, error) {
	time.Sleep(time.Minute)
	return l.r.Read(p[:min(len(p), 400)])
}

// All requests of one work share one allowance of repeats.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := registrytest.New(registrytest.Behaviour{})
		retry := Retry{Attempts: 100, Budget: 7}
		r := newRepository(t, publicHost, "app", registry.Client(), patient(retry))
		registry.Inject(registrytest.Fault{Do: registrytest.Status(503)})
		d, _ := content(nil)
		one, other := r.For(NewWork(retry)), r.For(NewWork(retry))
		for range 3 {
			wantStatus(t, "check", one.Check(context.Background(), d), 503)
		}
		if n := len(registry.Log()); n != 3+7 {
			t.Errorf("%d requests, want 3 and 7 repeats", n)
		}
		if a := other.Check(context.Background(), d); a.Requests != 8 {
			t.Errorf("another work: %d requests, want 8", a.Requests)
		}
	})
}
