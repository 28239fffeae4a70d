package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
)

// Content that is not what it should be does not become a blob, whatever is
// wrong with it and however it is sent, and the registry is not asked twice.
func TestUploadOfWrongContent(t *testing.T) {
	right := pattern(200 << 10)
	d, _ := content(right)
	with := func(b []byte) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	flipped := bytes.Clone(right)
	flipped[len(flipped)-1] ^= 1
	tests := map[string]Body{
		"last byte":  {int64(len(right)), with(flipped)},
		"short":      {int64(len(right)), with(right[1:])},
		"long":       {int64(len(right)) - 1, with(right)},
		"empty":      {int64(len(right)), with(nil)},
		"size zero":  {0, with(right)},
		"open error": {int64(len(right)), func() (io.ReadCloser, error) { return nil, errDisk }},
		"read error": {int64(len(right)), func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(right[:100<<10]), failing{})), nil
		}},
	}
	for _, form := range []string{"put", "stream"} {
		for name, body := range tests {
			t.Run(form+" "+name, func(t *testing.T) {
				server := registrytest.Start(t, registrytest.Behaviour{})
				r := newRepository(t, server.Host, "app", nil, patient(Retry{}))
				s := open(t, r, d)
				a := send(t.Context(), s, form, d, body)
				if a.Heard() || !a.Content || !errors.Is(a.Failure(), ErrContent) || a.Corrupt || a.Limited {
					t.Errorf("answer %+v: %v", a, a.Failure())
				}
				if strings.HasSuffix(name, "error") && !errors.Is(a.Failure(), errDisk) {
					t.Errorf("%v does not match its cause", a.Failure())
				}
				if a.Sent > int64(len(right)-holdBack) || a.Requests > 1 {
					t.Errorf("%d bytes in %d requests", a.Sent, a.Requests)
				}
				if _, stands := server.Registry.Blob("app", d); stands {
					t.Error("the blob stands")
				}
			})
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDisk }

// send uploads in one of the two forms.
func send(ctx context.Context, s *Session, form string, d digest.Digest, body Body) Answer {
	if form == "stream" {
		return s.Stream(ctx, d, body)
	}
	return s.Put(ctx, d, body)
}

// A source that keeps one waiting does not hold up a cancelled upload, and is
// closed.
func TestUploadCancelledWhileContentIsAwaited(t *testing.T) {
	for _, size := range []int{1000, 300 << 10} { // before, and while, it is sent
		server := registrytest.Start(t, registrytest.Behaviour{})
		transport := &http.Transport{}
		r := newRepository(t, server.Host, "app", transport)
		d, _ := content(pattern(size))
		s := open(t, r, d)
		ctx, cancel := context.WithCancel(t.Context())
		reader, writer := io.Pipe()
		go func() {
			_, _ = writer.Write(pattern(size)[:size/2])
			cancel()
		}()
		var a Answer
		soon(t, "put", func() {
			a = s.Put(ctx, d, Body{int64(size), func() (io.ReadCloser, error) { return reader, nil }})
		})
		if a.Heard() || a.Content || !errors.Is(a.Failure(), context.Canceled) {
			t.Errorf("%d bytes: %v, about content: %v", size, a.Failure(), a.Content)
		}
		soon(t, "the source to be closed", func() {
			for _, err := writer.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe); _, err = writer.Write([]byte{0}) {
				time.Sleep(time.Millisecond)
			}
		})
		transport.CloseIdleConnections()
	}
}

// Content is opened only once it can be sent: not while others are on the wire.
func TestContentIsOpenedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := registrytest.New(registrytest.Behaviour{})
		r := newRepository(t, publicHost, "app", registry.Client(), func(c *Config) { c.Uploads = 1 })
		d, body := content(pattern(1000))
		s, other := open(t, r, d), open(t, r, d)
		registry.Inject(registrytest.Fault{Do: registrytest.Stall, Delay: 10 * time.Second, Times: 1})
		var wg sync.WaitGroup
		wg.Go(func() { wantStatus(t, "the one before", other.Put(t.Context(), d, body), 201) })
		synctest.Wait()
		var opened atomic.Int32
		counted := Body{body.Size, func() (io.ReadCloser, error) { opened.Add(1); return body.Open() }}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if a := s.Put(ctx, d, counted); a.Heard() || a.Requests != 0 || opened.Load() != 0 {
			t.Errorf("without a place: %v, %d requests, opened %d times", a.Failure(), a.Requests, opened.Load())
		}
		wg.Wait()
		if a := s.Put(t.Context(), d, counted); a.Status != 201 || opened.Load() != 1 {
			t.Errorf("with a place: %v, opened %d times", a.Failure(), opened.Load())
		}
	})
}

// Nor is it opened for a token that is not to be had.
func TestContentIsNotOpenedForNothing(t *testing.T) {
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
		Users: map[string]registrytest.TokenUser{"alice": {Password: "secret", Access: []string{"app:pull,push"}}},
	})
	server := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
	r := newRepository(t, server.Host, "app", nil, as("alice", "secret"))
	d, body := content(pattern(1000))
	s := open(t, r, d)
	tokens.Revoke()
	tokens.SetBehaviour(func(b *registrytest.TokenBehaviour) { b.FailFirst, b.FailStatus = 9, 403 })
	opened := 0
	a := s.Put(t.Context(), d, Body{body.Size, func() (io.ReadCloser, error) { opened++; return body.Open() }})
	if a.Status != 401 || !errors.Is(a.Failure(), auth.ErrDenied) || opened != 1 {
		t.Errorf("with a token that was revoked: %v, opened %d times", a.Failure(), opened)
	}
}

// An upload of any size takes little memory, of client and server together.
func TestUploadMemory(t *testing.T) {
	const size = 24 << 20
	d, err := digest.FromReader(io.LimitReader(endless{}, size))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			w.Header().Set("Location", "/upload")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		if n, err := io.Copy(io.Discard, req.Body); n == size && err == nil {
			w.WriteHeader(http.StatusCreated)
		}
	}))
	defer server.Close()
	s := open(t, newRepository(t, strings.TrimPrefix(server.URL, "http://"), "app", nil), d)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a := s.Put(t.Context(), d, Body{size, func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(endless{}, size)), nil }})
	runtime.ReadMemStats(&after)
	wantStatus(t, "put", a, http.StatusCreated)
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 || a.Sent != size {
		t.Errorf("%d bytes of memory for %d that were sent", used, a.Sent)
	}
}

// A blob of no bytes is sent with a Content-Length of 0, and checked all the same.
func TestUploadOfNothing(t *testing.T) {
	for _, form := range []string{"put", "stream"} {
		server := registrytest.Start(t, registrytest.Behaviour{PutChunkedRefused: true})
		r := newRepository(t, server.Host, "app", nil)
		d, body := content(nil)
		a := send(t.Context(), open(t, r, d), form, d, body)
		if _, stands := server.Registry.Blob("app", d); a.Status != 201 || a.Sent != 0 || !stands {
			t.Errorf("%s: %v, %d bytes, stands %v", form, a.Failure(), a.Sent, stands)
		}
		for _, e := range server.Registry.Log() {
			if length := e.Header.Get("Content-Length"); e.Method == http.MethodPut && length != "" && length != "0" {
				t.Errorf("%s: Content-Length %q", form, length)
			}
		}
		d, _ = content([]byte("x"))
		a = send(t.Context(), open(t, r, d), form, d, Body{0, body.Open})
		if a.Heard() || !a.Content || a.Requests != 0 {
			t.Errorf("%s of other content of no bytes: %v, %d requests", form, a.Failure(), a.Requests)
		}
	}
}
