//go:build !race

// There is one goroutine here; the race detector would only make it take minutes.

package stress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	regtransport "github.com/crossmount/crossmount/transport"
)

// huge is a layer of 10 GiB, and its digest.
func huge() layer {
	return layer{Seed: 14, Bytes: 10 << 30, Sum: "sha256:5c91c09f750214edd862adf9c87adc963713cdeb96af03d5e9bb11840697fb94"}
}

// TestOffsets resumes the upload of a blob of 10 GiB at an offset beyond 4 GiB, in
// chunks, in a fake registry that counts: no size or offset is cut to 32 bits.
func TestOffsets(t *testing.T) {
	const chunk = 1 << 30
	l := huge()
	f := &far{stands: 5<<30 + 12345}
	from := f.stands
	began := time.Now()
	session := f.session(t)
	body := regtransport.Body{Size: l.Bytes, Open: func() (io.ReadCloser, error) { return l.Compressed() }}
	a := session.Resume(context.Background(), l.Sum, body, chunk)
	if !a.OK() {
		t.Fatal(a.Failure())
	}
	t.Logf("%d bytes sent from %d on, in %v: %v", a.Sent, from, time.Since(began).Round(time.Millisecond), f.ranges)
	if f.stands != l.Bytes || a.Sent != l.Bytes-from || f.closed != l.Sum {
		t.Errorf("%d bytes stand, %d were sent, closed with %s", f.stands, a.Sent, f.closed)
	}
	for i, got := range f.ranges {
		first := from + int64(i)*chunk
		if want := fmt.Sprintf("%d-%d", first, min(l.Bytes, first+chunk)-1); got != want {
			t.Errorf("Content-Range %s, want %s", got, want)
		}
	}
}

// far is a registry with one session, which counts what comes and keeps nothing.
type far struct {
	// mu guards the fields below.
	mu     sync.Mutex
	stands int64
	ranges []string
	closed digest.Digest
}

// session opens the session.
func (f *far) session(t *testing.T) *regtransport.Session {
	t.Helper()
	repo, err := name.NewRepository("registry.example/app")
	if err != nil {
		t.Fatal(err)
	}
	host := regtransport.NewHost(regtransport.Config{Registry: repo.Registry, Base: f})
	a, session := host.Repository(repo, auth.Scope{}).Start(context.Background(), digest.FromString("blob"))
	if session == nil {
		t.Fatal(a.Failure())
	}
	return session
}

// RoundTrip answers for the registry.
func (f *far) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var got int64
	if req.Body != nil {
		var err error
		if got, err = io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	status := http.StatusNotFound
	switch req.Method {
	case http.MethodPost:
		status = http.StatusAccepted
	case http.MethodGet:
		status = http.StatusNoContent
	case http.MethodPatch:
		if got != req.ContentLength {
			return nil, errors.New("the body has another length than Content-Length")
		}
		f.ranges = append(f.ranges, req.Header.Get("Content-Range"))
		f.stands += got
		status = http.StatusAccepted
	case http.MethodPut:
		f.closed = digest.Digest(req.URL.Query().Get("digest"))
		status = http.StatusCreated
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, Body: io.NopCloser(strings.NewReader("")),
		Header: http.Header{"Location": {"/v2/app/blobs/uploads/far"}, "Range": {fmt.Sprintf("0-%d", f.stands-1)}},
	}, nil
}
