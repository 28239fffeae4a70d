package stress_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

const (
	cutLayer = 32 << 20
	cutAt    = 0.9
)

// TestCut cuts the connection of a large upload at nine tenths. Where the session
// stays, little more than the last tenth is sent again.
func TestCut(t *testing.T) {
	layers := makeLayers(t, 12, 1, cutLayer)
	for _, tt := range []struct {
		name   string
		drops  bool // the session does not survive
		stream bool // PATCH, because the host refuses a PUT of this size
		most   float64
	}{
		{"PUT, session stays", false, false, 0.15},
		{"PATCH, session stays", false, true, 0.15},
		{"PUT, session is lost", true, false, 0.95},
		{"PATCH, session is lost", true, true, 0.95},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := registrytest.Behaviour{SessionDropsOnCut: tt.drops}
			if tt.stream {
				b.PutLimit = 1 << 20
			}
			var cuts atomic.Int64
			s := serve(t, b, func(next http.Handler) http.Handler { return cutting{next, &cuts} })
			p := pusher(t, push.WithTransport(transport(t)))
			if tt.stream { // a smaller layer shows that a PUT is limited
				first := mustImage(t, "first", makeLayers(t, 13, 1, 2<<20))
				if _, err := p.Push(context.Background(), first, reference(t, s.addr, "first:v1")); err != nil {
					t.Fatal(err)
				}
			}
			r := s.now()
			r.ResetLog()
			img := mustImage(t, "app", layers)
			report, err := p.Push(context.Background(), img, reference(t, s.addr, "app:v1"))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Complete("app", "v1"); err != nil {
				t.Error(err)
			}
			whole := total(blobs(t, img))
			again := r.Count().Bytes - whole
			t.Logf("%d bytes received again (%.1f %%), %d sent again by the report; %d requests: %v",
				again, 100*float64(again)/cutLayer, report.Sent-whole, report.Requests, methods(r))
			if float64(again) > tt.most*cutLayer || cuts.Load() != 1 {
				t.Errorf("%d bytes came again after %d cuts", again, cuts.Load())
			}
			if first := firstUpload(r); (first == http.MethodPatch) != tt.stream {
				t.Errorf("the upload began with %s", first)
			}
		})
	}
}

// methods returns the methods of the requests that carried content or asked a
// session, in their order.
func methods(r *registrytest.Registry) (out []string) {
	for _, e := range r.Log() {
		if e.Sent > 1<<10 {
			out = append(out, fmt.Sprintf("%s %.1f MiB", e.Method, mib(uint64(e.Sent))))
		}
	}
	return out
}

// firstUpload returns the method of the first request with much content.
func firstUpload(r *registrytest.Registry) string {
	for _, e := range r.Log() {
		if e.Sent > cutLayer/2 {
			return e.Method
		}
	}
	return ""
}

// cutting cuts the connection of the first request that carries a large layer.
type cutting struct {
	http.Handler
	cuts *atomic.Int64
}

// ServeHTTP passes a request on, the first large one with a part of its body.
func (c cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > cutLayer/2 && c.cuts.CompareAndSwap(0, 1) {
		r.Body = &short{r.Body, int64(cutAt * float64(r.ContentLength))}
	}
	c.Handler.ServeHTTP(w, r)
}

// short is a body that breaks off.
type short struct {
	io.ReadCloser
	left int64
}

// Read reads up to the cut.
func (s *short) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}
