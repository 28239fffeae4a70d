package transport

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

// flood answers with a status and a body of a gigabyte, and counts what of it
// went out.
func flood(status int, sent *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.WriteHeader(status)
		for block := bytes.Repeat([]byte("flood "), 10<<10); sent.Load() < 1<<30; {
			n, err := w.Write(block)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}
}

// A reply that does not end is cut off, whatever its status: soon, in bounded
// memory, and without asking for it again.
func TestFlood(t *testing.T) {
	const inFlight = 16 << 20 // what the buffers of loopback hold, with much to spare
	tests := []struct {
		name   string
		status int
		run    string
		want   int
		read   int64
	}{
		{"manifest", 200, "get manifest", 0, maxManifest},
		{"manifest refused", 404, "get manifest", 404, wire.MaxErrorBody},
		{"tags", 200, "tags", 200, wire.MaxErrorBody},
		{"mount", 201, "mount", 201, wire.MaxErrorBody},
		{"mount refused", 400, "mount", 400, wire.MaxErrorBody},
		{"session without Location", 202, "start", 202, wire.MaxErrorBody},
		{"manifest put refused", 413, "put manifest", 413, wire.MaxErrorBody},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var sent atomic.Int64
			s := newSite(t, flood(tt.status, &sent))
			r := newRepository(t, s.host, "app", nil, patient(Retry{}))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			a := calls()[tt.run].run(t.Context(), r)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			wantStatus(t, tt.run, a, tt.want)
			if got := sent.Load(); got > tt.read+inFlight || took > 30*time.Second || a.Requests != 1 {
				t.Errorf("%d bytes in %v, %d requests", got, took, a.Requests)
			}
			if used := int64(after.TotalAlloc - before.TotalAlloc); used > 8*tt.read+4<<20 {
				t.Errorf("%d bytes of memory for a bound of %d", used, tt.read)
			}
			if tt.want == 0 && !errors.Is(a.Failure(), ErrUnheard) {
				t.Errorf("%v", a.Failure())
			}
			if text := a.Failure().Error(); len(text) > 2<<10 {
				t.Errorf("the error has %d bytes", len(text))
			}
		})
	}
}

// A reply of the largest size is taken, and one of a byte more is not: neither
// whole nor in part. Of others only as much as an error needs is read.
func TestReplyBound(t *testing.T) {
	const bound = 1000
	tests := []struct {
		status, size int
		keep         int64
		want, length int
	}{
		{200, bound, bound, 200, bound},
		{200, bound + 1, bound, 0, 0},
		{200, 2 * wire.MaxErrorBody, 0, 200, wire.MaxErrorBody + 1},
		{404, 2 * bound, bound, 404, 2 * bound},
		{404, 2 * wire.MaxErrorBody, bound, 404, wire.MaxErrorBody + 1},
	}
	for _, tt := range tests {
		body := &source{Reader: bytes.NewReader(make([]byte, tt.size))}
		a := Answer{}.read(&http.Response{StatusCode: tt.status, Body: body}, call{keep: tt.keep})
		if a.Status != tt.want || len(a.body) != tt.length || errors.Is(a.Err, errReplySize) != (tt.want == 0) {
			t.Errorf("%d of %d bytes, bound %d: status %d, %d bytes, %v", tt.status, tt.size, tt.keep, a.Status, len(a.body), a.Err)
		}
		if body.closed != 1 {
			t.Errorf("%d of %d bytes: closed %d times", tt.status, tt.size, body.closed)
		}
	}
}

// A reply that is cut is none where it was needed whole, and an answer elsewhere.
func TestReplyCut(t *testing.T) {
	registry, r := world(t, registrytest.Behaviour{})
	registry.PutManifest("app", "v1", indexV1, []byte(emptyIndex))
	registry.Inject(registrytest.Fault{Do: registrytest.CutReply})
	a, m := r.Manifest(t.Context(), "v1")
	if a.Heard() || !errors.Is(a.Failure(), ErrUnheard) || !errors.Is(a.Failure(), io.ErrUnexpectedEOF) || m.Body != nil || a.Content {
		t.Errorf("manifest: %v, %+v", a.Failure(), m)
	}
	a = r.PutManifest(t.Context(), "v2", manifestV1, []byte("{}"))
	wantStatus(t, "a refusal", a, 400)
	a, _ = r.Manifest(t.Context(), "absent")
	wantStatus(t, "absent", a, 404)

	registry.ClearFaults()
	registry.Inject(registrytest.Fault{Do: registrytest.CutReply, Times: 2})
	patientOne := newRepository(t, r.host.Name(), "app", nil, patient(Retry{Base: time.Millisecond}))
	a, m = patientOne.Manifest(t.Context(), "v1")
	if a.Status != 200 || string(m.Body) != emptyIndex || a.Requests != 3 {
		t.Errorf("at the third time: %v, %d requests, %q", a.Failure(), a.Requests, m.Body)
	}
}

// An answer that is no HTTP, or none at all, is no answer.
func TestUnheard(t *testing.T) {
	d, body := content(pattern(1000))
	for _, fault := range []registrytest.FaultKind{registrytest.NotHTTP, registrytest.Refuse, registrytest.ResetAfter} {
		registry, r := world(t, registrytest.Behaviour{})
		s := open(t, r, d)
		registry.Inject(registrytest.Fault{Do: fault})
		for name, c := range calls() {
			a := c.run(t.Context(), r)
			if a.Heard() || a.OK() || a.Err == nil || a.Content || !errors.Is(a.Failure(), ErrUnheard) || !errors.Is(a.Failure(), a.Err) {
				t.Errorf("%s, %s: %+v", fault, name, a)
			}
		}
		if a := s.Put(t.Context(), d, body); a.Heard() || a.Content || a.Corrupt {
			t.Errorf("%s, put: %+v", fault, a)
		}
		if !r.host.speaks("http") {
			t.Errorf("%s: the scheme was changed", fault)
		}
	}
	gone := newSite(t, func(http.ResponseWriter, *http.Request) {})
	gone.Close()
	if a := newRepository(t, gone.host, "app", nil).Check(t.Context(), d); a.Heard() || a.Err == nil {
		t.Errorf("nobody there: %+v", a)
	}
}

// Headers that say nonsense do no harm.
func TestOddHeaders(t *testing.T) {
	for _, value := range []string{"sha256:abc", "md5:900150983cd24fb0d6963f7d28e17f72", "x", "", ":", "sha256:"} {
		s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Docker-Content-Digest", value) })
		if a := newRepository(t, s.host, "app", nil).Check(t.Context(), digest.FromString("blob")); a.Status != 200 || a.Digest != "" {
			t.Errorf("%q: %+v", value, a)
		}
	}
}
