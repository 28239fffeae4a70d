package registrytest

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// SlowUploads serves h, and takes as long as d for each PUT to an upload session, after h has handled it,
// as bytes do on a slow line. PUTs for want of a token (401) are answered at once; refused counts them.
func SlowUploads(h http.Handler, d time.Duration) (slow http.Handler, refused *atomic.Int32) {
	refused = new(atomic.Int32)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		noted := &statusWriter{ResponseWriter: w}
		h.ServeHTTP(noted, req)
		switch {
		case req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/uploads/"):
		case noted.status == http.StatusUnauthorized:
			refused.Add(1)
		default:
			wait(req.Context(), d)
		}
	}), refused
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
