package registrytest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestConcurrentPushes runs pushes, reads of the log, changes of the behaviour and faults at once, over
// loopback; it is for the race detector.
func TestConcurrentPushes(t *testing.T) {
	s := Start(t, Behaviour{Discovery: DiscoveryOn})
	tr := defaultTransport(t)
	shared := blobOf("shared", 50_000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := newPeer(t, s.Registry)
			p.transport, p.base = tr, s.URL
			repo := fmt.Sprintf("app%d", i)
			for j := range 5 {
				own := blobOf(repo+fmt.Sprint(j), 20_000)
				p.upload(repo, own)
				a := p.do("POST", "/v2/"+repo+"/blobs/uploads/?mount="+digest.FromBytes(shared).String(), nil)
				if a.status == 202 {
					p.want(201, "PUT", withDigest(a.location(), digest.FromBytes(shared)), shared)
				}
				p.want(201, "PUT", fmt.Sprintf("/v2/%s/manifests/v%d", repo, j), image(own, shared), asManifest)
				if err := s.Registry.Complete(repo, fmt.Sprintf("v%d", j)); err != nil {
					t.Error(err)
				}
				s.Registry.SetBehaviour(func(b *Behaviour) { b.TagParams = !b.TagParams })
				s.Registry.Inject(Fault{Match: func(Entry) bool { return false }, Do: Refuse})
				_, _, _, _ = s.Registry.Log(), s.Registry.Lines(), s.Registry.Count(), s.Registry.Repositories()
			}
		})
	}
	wg.Wait()
	s.Registry.ClearFaults()
	if c := s.Registry.Count(); c.BytesTwice != 0 || c.SessionsOpen != 0 || c.Bytes < 8*5*20_000 {
		t.Errorf("Count = %+v", c)
	}
}

// TestTwoRequestsOnOneSession: the second waits for the first, and is noticed.
func TestTwoRequestsOnOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{BytesPerSecond: 1 << 20})
		p := newPeer(t, r)
		location := p.begin()
		var wg sync.WaitGroup
		wg.Go(func() { p.want(202, "PATCH", location, make([]byte, 1<<20)) })
		synctest.Wait()
		start := time.Now()
		if got := p.want(204, "GET", location, nil).header.Get("Range"); got != "0-1048575" {
			t.Errorf("Range = %q", got)
		}
		if got := time.Since(start); got < 900*time.Millisecond {
			t.Errorf("the second request waited %v", got)
		}
		wg.Wait()
		if v := r.Violations(); len(v) != 1 || !strings.Contains(v[0], "two requests at once") {
			t.Errorf("Violations = %q", v)
		}
	})
}

// TestRequestAfterACut: a client that goes away and comes back at once does nothing wrong, though the
// registry may still be reading.
func TestRequestAfterACut(t *testing.T) {
	s := Start(t, Behaviour{})
	p := newPeer(t, s.Registry)
	p.transport, p.base = defaultTransport(t), s.URL
	for range 20 {
		location := p.begin()
		ctx, cancel := context.WithCancel(t.Context())
		body, feed := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, "PATCH", s.URL+location, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1 << 20
		req.Header.Set("Content-Type", octetStream)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := p.transport.RoundTrip(req); err == nil {
				t.Errorf("the PATCH got %d", resp.StatusCode)
				_ = resp.Body.Close()
			}
		}()
		if _, err := feed.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = feed.CloseWithError(context.Canceled)
		<-done
		p.want(204, "GET", location, nil)
	}
}

// eagerWriter makes the next request as soon as it is told the status of this one.
type eagerWriter struct {
	captured
	next func()
}

func (w *eagerWriter) WriteHeader(status int) {
	w.captured.WriteHeader(status)
	w.next()
}

// TestSessionHandover: a client that has the status of a reply may use the session at once.
func TestSessionHandover(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	location := p.begin()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "PATCH", p.base+location, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", octetStream)
	second := 0
	w := &eagerWriter{captured: captured{header: http.Header{}}}
	w.next = func() {
		req, err := http.NewRequestWithContext(ctx, "GET", p.base+location, nil)
		if err != nil {
			t.Fatal(err)
		}
		second = p.send(req).status
	}
	r.ServeHTTP(w, req)
	if w.status != 202 || second != 204 {
		t.Errorf("PATCH = %d, GET = %d", w.status, second)
	}
	noViolations(t, r)
}

// brokenBody is a body that waits for its end to be broken off.
type brokenBody chan error

func (b brokenBody) Read([]byte) (int, error) { return 0, <-b }

// TestWaitForACut: a request that waits for one that then breaks off is no second one at once.
func TestWaitForACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{})
		p := newPeer(t, r)
		location := p.begin()
		body := make(brokenBody)
		req, err := http.NewRequest("PATCH", p.base+location, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", octetStream)
		req.ContentLength = 10
		var wg sync.WaitGroup
		wg.Go(func() {
			if a := p.send(req); a.err == nil {
				t.Errorf("the PATCH got %d", a.status)
			}
		})
		synctest.Wait()
		wg.Go(func() { p.want(204, "GET", location, nil) })
		synctest.Wait()
		body <- io.ErrUnexpectedEOF
		wg.Wait()
		noViolations(t, r)
	})
}

// TestShortBody: a body that ends before its Content-Length is a cut, and what came stands.
func TestShortBody(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	location := p.begin()
	if w := raw(r, "PATCH", location, []byte("con"), 7, "Content-Type: "+octetStream); w.status != 0 {
		t.Errorf("status = %d", w.status)
	}
	if got := p.want(204, "GET", location, nil).header.Get("Range"); got != "0-2" {
		t.Errorf("Range = %q", got)
	}
}

// TestServeClose: closing ends the contexts of requests and waits for their handlers.
func TestServeClose(t *testing.T) {
	var ended atomic.Bool
	entered := make(chan struct{})
	host, closeServer, err := Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		<-time.After(20 * time.Millisecond)
		ended.Store(true)
	}))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, transport: defaultTransport(t), base: "http://" + host}
	var wg sync.WaitGroup
	wg.Go(func() { p.do("GET", "/", nil) })
	<-entered
	closeServer()
	if !ended.Load() {
		t.Error("the handler still runs")
	}
	wg.Wait()
}
