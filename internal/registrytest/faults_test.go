package registrytest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crossmount/crossmount/internal/wire"
	"github.com/opencontainers/go-digest"
)

// onBoth runs a test over memory and over loopback.
func onBoth(t *testing.T, b Behaviour, test func(t *testing.T, p *peer, r *Registry)) {
	t.Run("memory", func(t *testing.T) {
		r := New(b)
		test(t, newPeer(t, r), r)
		noViolations(t, r)
	})
	t.Run("loopback", func(t *testing.T) {
		s := Start(t, b)
		p := newPeer(t, s.Registry)
		tr := defaultTransport(t)
		tr.DisableKeepAlives = true // no request is sent again by the transport
		p.transport, p.base = tr, s.URL
		test(t, p, s.Registry)
	})
}

func isPut(e Entry) bool { return e.Kind == wire.UploadFinish }

func TestFaultsThatBreak(t *testing.T) {
	content := blobOf("x", 300_000)
	d := digest.FromBytes(content)
	for _, test := range []struct {
		do      FaultKind
		handled bool
		sent    int64 // bytes of the PUT that are received, over memory
		status  int   // in the log
	}{
		{Refuse, false, 0, 0},
		{ResetBefore, false, 300_000, 0},
		{ResetAfter, true, 300_000, 201},
		{CutBody, false, 150_000, 0},
		{CutReply, true, 300_000, 201},
		{NotHTTP, false, 300_000, 0},
	} {
		t.Run(test.do.String(), func(t *testing.T) {
			onBoth(t, Behaviour{}, func(t *testing.T, p *peer, r *Registry) {
				r.Inject(Fault{Match: isPut, Times: 1, Do: test.do})
				a := p.do("PUT", withDigest(p.begin(), d), content)
				if a.err == nil {
					t.Fatalf("the PUT got an answer: %d %s", a.status, a.body)
				}
				if _, held := r.Blob("app", d); held != test.handled {
					t.Errorf("handled: %v", held)
				}
				e := r.Log()[1]
				if e.Fault != test.do || e.Status != test.status {
					t.Errorf("entry: %v %d", e.Fault, e.Status)
				}
				if e.Sent != test.sent {
					t.Errorf("%d bytes received, want %d", e.Sent, test.sent)
				}
				p.upload("app", content)
				if got := r.Count().BytesTwice; got != 0 {
					t.Errorf("BytesTwice = %d", got)
				}
			})
		})
	}
}

func TestFaultsThatAnswer(t *testing.T) {
	content := []byte("content")
	d := digest.FromBytes(content)
	for _, test := range []struct {
		fault   Fault
		want    int
		handled bool
		check   func(answer) bool
	}{
		{Fault{Do: Status(500)}, 500, false, func(a answer) bool { return a.code() == "" }},
		{Fault{Do: Status(502)}, 502, false, func(a answer) bool { return strings.HasPrefix(a.body, "<html>") }},
		{Fault{Do: Status(503), RetryAfter: "7"}, 503, false, func(a answer) bool { return a.header.Get("Retry-After") == "7" }},
		{Fault{Do: Status(429), RetryAfter: "1"}, 429, false, func(a answer) bool {
			return a.header.Get("Retry-After") == "1" && a.code() == "TOOMANYREQUESTS"
		}},
		{Fault{Do: Status(401)}, 401, false, func(a answer) bool { return a.code() == "UNAUTHORIZED" }},
		{Fault{Do: FaultKind(7)}, 500, false, func(answer) bool { return true }},
		{Fault{Do: SessionGone}, 404, false, func(a answer) bool { return a.code() == "BLOB_UPLOAD_UNKNOWN" }},
		{Fault{Do: RangeInvalid}, 416, false, func(a answer) bool { return a.header.Get("Range") == "0-0" && a.location() != "" }},
		{Fault{Do: Duplicate}, 404, true, func(a answer) bool { return a.code() == "BLOB_UPLOAD_UNKNOWN" }},
		{Fault{Do: WrongDigest}, 201, true, func(a answer) bool {
			got := a.header.Get("Docker-Content-Digest")
			return got != d.String() && digest.Digest(got).Validate() == nil
		}},
	} {
		t.Run(test.fault.Do.String(), func(t *testing.T) {
			onBoth(t, Behaviour{}, func(t *testing.T, p *peer, r *Registry) {
				test.fault.Match, test.fault.Times = isPut, 1
				r.Inject(test.fault)
				location := p.begin()
				a := p.want(test.want, "PUT", withDigest(location, d), content)
				if !test.check(a) {
					t.Errorf("answer = %+v", a)
				}
				if _, held := r.Blob("app", d); held != test.handled {
					t.Errorf("handled: %v", held)
				}
				if e := r.Log()[1]; e.Sent != 7 || e.Status != test.want {
					t.Errorf("entry: %d bytes, %d", e.Sent, e.Status)
				}
				again := 201
				if test.handled || test.fault.Do == SessionGone {
					again = 404
				}
				p.want(again, "PUT", withDigest(location, d), content)
			})
		})
	}
}

func TestFaultyReplies(t *testing.T) {
	onBoth(t, Behaviour{}, func(t *testing.T, p *peer, r *Registry) {
		content := blobOf("x", 100_000)
		d := r.PutBlob("app", content)
		target := "/v2/app/blobs/" + d.String()
		r.Inject(Fault{Do: CutReply, Times: 1}, Fault{Do: WrongDigest, Times: 1})
		a := p.do("GET", target, nil)
		if a.status != 200 || !errors.Is(a.err, io.ErrUnexpectedEOF) || len(a.body) != 50_000 {
			t.Errorf("CutReply: %d, %d bytes, %v", a.status, len(a.body), a.err)
		}
		if a = p.want(200, "GET", target, nil); a.body == string(content) || len(a.body) != len(content) {
			t.Error("WrongDigest: the content is right")
		}
		if a = p.want(200, "GET", target, nil); a.body != string(content) {
			t.Error("a third fault came")
		}
		r.PutManifest("app", "v1", ociManifest, image(content))
		r.Inject(Fault{Do: CutReply, Times: 1})
		if a = p.do("GET", "/v2/app/manifests/v1", nil); a.status != 200 || !errors.Is(a.err, io.ErrUnexpectedEOF) || a.body == "" {
			t.Errorf("CutReply of a small body: %+v", a)
		}
		r.Inject(Fault{Do: Duplicate, Times: 1})
		p.want(202, "POST", "/v2/app/blobs/uploads/", nil)
		if got := r.OpenSessions(); got != 2 {
			t.Errorf("Duplicate: %d sessions", got)
		}
	})
}

func TestCutUpload(t *testing.T) {
	content := blobOf("x", 200_000)
	d := digest.FromBytes(content)
	isPatch := func(e Entry) bool { return e.Kind == wire.UploadChunk }
	onBoth(t, Behaviour{}, func(t *testing.T, p *peer, r *Registry) {
		r.Inject(Fault{Match: isPatch, Times: 1, Do: CutBody})
		location := p.begin()
		if a := p.do("PATCH", location, content); a.err == nil {
			t.Fatal("the PATCH was answered")
		}
		if got := p.want(204, "GET", location, nil).header.Get("Range"); got != "0-99999" {
			t.Fatalf("Range = %q", got)
		}
		p.want(202, "PATCH", location, content[100_000:], "Content-Range: 100000-199999")
		p.want(201, "PUT", withDigest(location, d), nil)
	})
	onBoth(t, Behaviour{SessionDropsOnCut: true}, func(t *testing.T, p *peer, r *Registry) {
		r.Inject(Fault{Match: isPatch, Times: 1, Do: CutBody})
		location := p.begin()
		if a := p.do("PATCH", location, content); a.err == nil {
			t.Fatal("the PATCH was answered")
		}
		p.want(404, "GET", location, nil)
		if r.OpenSessions() != 0 {
			t.Error("the session is open")
		}
	})
}

func TestFaultMatching(t *testing.T) {
	r := New(Behaviour{})
	p := newPeer(t, r)
	r.Inject(
		Fault{Match: func(e Entry) bool { return e.Kind == wire.Ping && e.Status == 0 }, Skip: 1, Times: 2, Do: Status(503)},
		Fault{Match: func(e Entry) bool { return e.Kind == wire.BlobHead }, Do: Status(500)},
	)
	for i, want := range []int{200, 503, 503, 200, 200} {
		if got := p.do("GET", "/v2/", nil).status; got != want {
			t.Errorf("ping %d = %d, want %d", i, got, want)
		}
	}
	head := "/v2/app/blobs/" + digest.FromString("x").String()
	for range 3 {
		p.want(500, "HEAD", head, nil)
	}
	r.ClearFaults()
	p.want(404, "HEAD", head, nil)
	want := []string{"GET /v2/ 200", "GET /v2/ 503 !503", "GET /v2/ 503 !503", "GET /v2/ 200", "GET /v2/ 200"}
	for i, line := range r.Lines()[:5] {
		if line != want[i] {
			t.Errorf("line %d = %q, want %q", i, line, want[i])
		}
	}
}

func TestStallUntilTheClientGoes(t *testing.T) {
	onBoth(t, Behaviour{}, func(t *testing.T, p *peer, r *Registry) {
		r.Inject(Fault{Match: isPut, Do: Stall, Times: 1})
		location := p.begin()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", p.base+withDigest(location, digest.FromString("x")), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", octetStream)
		client := http.Client{Transport: p.transport, Timeout: 50 * time.Millisecond}
		if _, err := client.Do(req); err == nil {
			t.Fatal("the request was answered")
		}
		p.want(201, "PUT", withDigest(location, digest.FromString("x")), []byte("x"))
	})
}
