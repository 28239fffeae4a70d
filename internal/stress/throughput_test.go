package stress_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// BenchmarkThroughput compares how fast a push sends 1 GiB in four layers with a
// bare client that sends the same bytes to the same server, and computes their
// digests on the way. The two take turns. The sink reads and forgets; the test
// registry computes digests as well.
//
//	go test -run '^$' -bench Throughput -benchtime 5x -timeout 10m .
func BenchmarkThroughput(b *testing.B) {
	layers := makeLayers(b, 4, 4, 256<<20)
	registry := func() http.Handler { return registrytest.New(registrytest.Behaviour{DiscardAbove: 64 << 10}) }
	for _, bb := range []struct {
		name    string
		handler http.Handler
		http2   bool
	}{
		{"http1-sink", sink{}, false},
		{"http1-registry", registry(), false},
		{"http2-sink", sink{}, true},
	} {
		b.Run(bb.name, func(b *testing.B) { compare(b, bb.handler, bb.http2, layers) })
	}
}

// compare lets a push and a bare client take turns.
func compare(b *testing.B, handler http.Handler, http2 bool, layers []layer) {
	base, l := listen(b, handler, http2)
	addr := l.Addr().String()
	var pushed, bare time.Duration
	for n := range b.N {
		turns := []func(){
			func() { pushed += timed(b, func() error { return pushAll(b, base, addr, n, layers) }) },
			func() { bare += timed(b, func() error { return putAll(base, addr, http2, n, layers) }) },
		}
		turns[n%2]()
		turns[1-n%2]()
	}
	bytes := float64(b.N) * float64(len(layers)) * float64(layers[0].Bytes) / (1 << 20)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(bytes/pushed.Seconds(), "push-MiB/s")
	b.ReportMetric(bytes/bare.Seconds(), "bare-MiB/s")
	b.ReportMetric(bare.Seconds()/pushed.Seconds(), "ratio")
}

func timed(b *testing.B, f func() error) time.Duration {
	began := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// pushAll pushes an image of the layers to a new repository.
func pushAll(b *testing.B, base http.RoundTripper, addr string, n int, layers []layer) error {
	img, err := makeImage(fmt.Sprint(n), layers)
	if err != nil {
		return err
	}
	p := pusher(b, push.WithTransport(base))
	_, err = p.Push(context.Background(), img, reference(b, addr, fmt.Sprintf("pushed%d:v1", n)))
	return err
}

// putAll sends the layers to a new repository, all at once.
func putAll(base http.RoundTripper, addr string, http2 bool, n int, layers []layer) error {
	root := "http://" + addr
	if http2 {
		root = "https://" + addr
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(layers))
	for _, l := range layers {
		wg.Go(func() { errs <- putOne(base, fmt.Sprintf("%s/v2/bare%d/blobs/uploads/", root, n), l) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// putOne sends one layer with POST and PUT, and computes its digest on the way.
func putOne(base http.RoundTripper, uploads string, l layer) error {
	client := &http.Client{Transport: base}
	started, err := client.Post(uploads, "", nil)
	if err != nil {
		return err
	}
	started.Body.Close()
	session, err := started.Location()
	if err != nil {
		return err
	}
	session.RawQuery = "digest=" + l.Sum.String()
	body := &hashed{Reader: l.open(), sum: sha256.New()}
	req, err := http.NewRequest(http.MethodPut, session.String(), body)
	if err != nil {
		return err
	}
	req.ContentLength = l.Bytes
	req.Header.Set("Content-Type", "application/octet-stream")
	done, err := client.Do(req)
	if err != nil {
		return err
	}
	done.Body.Close()
	if done.StatusCode != http.StatusCreated || digest.NewDigest(digest.SHA256, body.sum) != l.Sum {
		return fmt.Errorf("status %s, digest %x", done.Status, body.sum.Sum(nil))
	}
	return nil
}

// hashed computes the digest of what is read.
type hashed struct {
	io.Reader
	sum hash.Hash
}

// Read reads and hashes.
func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.sum.Write(p[:n])
	return n, err
}

// sink is a registry that takes everything and keeps nothing.
type sink struct{}

// ServeHTTP opens a session, or reads and forgets the body.
func (sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", "/v2/x/blobs/uploads/session")
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 256<<10))
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodPost, r.Method == http.MethodPatch:
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/x/"), r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}
