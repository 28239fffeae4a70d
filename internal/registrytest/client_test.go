package registrytest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestLatencyAndBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{Latency: 100 * time.Millisecond, BytesPerSecond: 1 << 20})
		p := newPeer(t, r)
		start := time.Now()
		p.want(200, "GET", "/v2/", nil)
		if got := time.Since(start); got != 100*time.Millisecond {
			t.Errorf("a ping took %v", got)
		}
		start = time.Now()
		p.upload("app", make([]byte, 3<<20))
		if got := time.Since(start); got != 3200*time.Millisecond {
			t.Errorf("an upload took %v", got)
		}
		// Two at once share the link.
		start = time.Now()
		done := make(chan struct{})
		for _, seed := range []string{"a", "b"} {
			go func() {
				p.upload("app", blobOf(seed, 1<<20))
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		if got := time.Since(start); got != 2200*time.Millisecond {
			t.Errorf("two uploads took %v", got)
		}
		noViolations(t, r)
	})
}

func TestStallWithDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{})
		p := newPeer(t, r)
		r.Inject(Fault{Do: Stall, Delay: time.Minute, Times: 1, Match: isPut}, Fault{Do: Status(503), Delay: time.Second, Times: 1, Skip: 1})
		location := p.begin()
		start := time.Now()
		p.want(201, "PUT", withDigest(location, digest.FromString("x")), []byte("x"))
		if got := time.Since(start); got != time.Minute {
			t.Errorf("Stall took %v", got)
		}
		if e := r.Log()[1]; e.Sent != 1 {
			t.Errorf("%d bytes received", e.Sent)
		}
		start = time.Now()
		p.want(503, "GET", "/v2/", nil)
		if got := time.Since(start); got != time.Second {
			t.Errorf("the answer took %v", got)
		}
	})
}

func TestClientCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{Latency: time.Hour})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", "http://registry.test/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { cancel(cause) })
		start := time.Now()
		if _, err := r.Client().RoundTrip(req); !errors.Is(err, cause) {
			t.Errorf("err = %v", err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("it took %v", got)
		}
		if _, err := r.Client().RoundTrip(req); !errors.Is(err, cause) {
			t.Errorf("a dead request: err = %v", err)
		}
		synctest.Wait()
		if got := r.Lines(); len(got) != 1 || got[0] != "GET /v2/ -" {
			t.Errorf("Lines = %q", got)
		}
	})
}

// TestClientCancelInBody cancels while the body is on its way: the registry sees a cut.
func TestClientCancelInBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{BytesPerSecond: 1 << 20})
		p := newPeer(t, r)
		location := p.begin()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "PATCH", p.base+location, strings.NewReader(strings.Repeat("x", 2<<20)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", octetStream)
		if _, err := p.transport.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		got := p.want(204, "GET", location, nil).header.Get("Range")
		if got == "0-0" || len(got) < len("0-999999") {
			t.Errorf("Range = %q", got)
		}
		noViolations(t, r)
	})
}

func TestClientCancelInReply(t *testing.T) {
	for range 50 {
		synctest.Test(t, cancelInReply)
	}
}

func cancelInReply(t *testing.T) {
	r := New(Behaviour{})
	d := r.PutBlob("app", make([]byte, 1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://registry.test/v2/app/blobs/"+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.Client().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ContentLength != 1<<20 {
		t.Errorf("ContentLength = %d", resp.ContentLength)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v", err)
	}
	_ = resp.Body.Close()
}

// TestClientUnread: a reply whose body is closed unread leaves no goroutine (synctest would say so).
func TestClientUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Behaviour{})
		d := r.PutBlob("app", make([]byte, 1<<20))
		req, err := http.NewRequest("GET", "http://registry.test/v2/app/blobs/"+d.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.Client().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		synctest.Wait()
	})
}

func TestClientErrors(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	r.Inject(Fault{Do: Refuse, Times: 1}, Fault{Do: NotHTTP, Times: 1})
	if a := p.do("GET", "/v2/", nil); !errors.Is(a.err, ErrBroken) {
		t.Errorf("Refuse: %v", a.err)
	}
	if a := p.do("GET", "/v2/", nil); !errors.Is(a.err, ErrMalformed) {
		t.Errorf("NotHTTP: %v", a.err)
	}
	other := New(Behaviour{})
	p.transport = Network{"one:1": r, "two:2": other}
	p.want(200, "GET", "http://one:1/v2/", nil)
	p.want(200, "GET", "https://two:2/v2/", nil)
	if got := other.Log()[0].Host; got != "two:2" {
		t.Errorf("Host = %q", got)
	}
	if a := p.do("POST", "http://three:3/v2/", []byte("x")); !errors.Is(a.err, ErrNoHost) {
		t.Errorf("no host: %v", a.err)
	}
}

// TestClientEmptyBody: a body that turns out empty is none, as net/http has it.
func TestClientEmptyBody(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	if a := p.chunked("POST", "/v2/app/blobs/uploads/", nil); a.status != 202 {
		t.Errorf("POST = %d", a.status)
	}
	noViolations(t, r)
}

func TestRepoAbsentReset(t *testing.T) {
	r := New(Behaviour{RepoAbsentReset: true})
	p := newPeer(t, r)
	if a := p.do("POST", "/v2/app/blobs/uploads/", nil); !errors.Is(a.err, ErrBroken) {
		t.Errorf("err = %v", a.err)
	}
	p.want(200, "GET", "/v2/", nil)
	r.CreateRepository("app")
	p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
}
