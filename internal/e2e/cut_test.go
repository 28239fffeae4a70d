package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/push"
)

// cutLayer is the size of the layer whose upload is cut, and cutAt how much of it
// has gone out then.
const (
	cutLayer = 32 << 20
	cutAt    = cutLayer / 10 * 9
)

// TestCut resets the connection of the upload of a large layer at nine tenths, on
// every registry, once for an upload by PUT and once for one by PATCH. Where the
// session stays, little more than the last tenth is sent again.
func TestCut(t *testing.T) {
	layer, err := images.LayerOf("large", cutLayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.Image("large", layer)
	if err != nil {
		t.Fatal(err)
	}
	kinds, _ := registries.All()
	for _, k := range kinds {
		for _, method := range []string{http.MethodPut, http.MethodPatch} {
			t.Run(k.Name+"/"+method, func(t *testing.T) { cutOnce(t, k.OnDisk(), method, img) })
		}
	}
}

func cutOnce(t *testing.T, k registries.Kind, method string, img v1.Image) {
	server := start(t, k)
	carrier := newCutter(method)
	t.Cleanup(carrier.next.CloseIdleConnections)
	keychain := server.Keychain(registries.Admin)
	p := pusher(t, keychain, push.WithTransport(carrier))
	to := ref(t, server, "app:v1")
	report, err := p.Push(t.Context(), img, to)
	if err != nil {
		t.Fatalf("push: %v\n%s\n%s", err, report, lines(server.Log))
	}
	var whole int64
	for _, b := range report.Blobs {
		whole += b.Size
	}
	share := float64(report.Sent-whole) / cutLayer
	t.Logf("%.1f %% of the layer was sent again, %d bytes arrived\n%s", 100*share, server.Log.Sum().Bytes, lines(server.Log))
	most := 0.15
	if !k.Resumes {
		most = 0.91
	}
	if share > most {
		t.Errorf("%.3f of the layer was sent again, want at most %.2f", share, most)
	}
	if carrier.cuts.Load() != 1 {
		t.Errorf("%d uploads were cut, want 1", carrier.cuts.Load())
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	checkRef(t, to, digest, keychain, false)
}

// cutter carries requests. It resets the connection of the first that carries a
// large layer.
type cutter struct {
	next  *http.Transport
	noPut bool // a PUT of a large layer is answered 413
	cuts  atomic.Int64
}

// newCutter returns a cutter of uploads by a method.
func newCutter(method string) *cutter {
	c := &cutter{next: http.DefaultTransport.(*http.Transport).Clone(), noPut: method == http.MethodPatch}
	dial := new(net.Dialer).DialContext
	c.next.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(64 << 10) // what the system takes ahead of the registry counts as sent
		}
		return conn, err
	}
	return c
}

// RoundTrip carries one request.
func (c *cutter) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.ContentLength < cutLayer {
		return c.next.RoundTrip(req)
	}
	if c.noPut && req.Method == http.MethodPut {
		_ = req.Body.Close() // it was not read
		return &http.Response{
			StatusCode: http.StatusRequestEntityTooLarge, Body: http.NoBody, Header: http.Header{}, Request: req,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	}
	if !c.cuts.CompareAndSwap(0, 1) {
		return c.next.RoundTrip(req)
	}
	body := &cutBody{ReadCloser: req.Body, left: cutAt}
	cut := req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: body.on}))
	cut.Body, cut.GetBody = body, nil
	return c.next.RoundTrip(cut)
}

// cutBody is a body whose connection is reset when some of it has been read.
type cutBody struct {
	io.ReadCloser
	left int64
	conn atomic.Pointer[net.TCPConn]
}

// on notes the connection.
func (b *cutBody) on(info httptrace.GotConnInfo) {
	if conn, ok := info.Conn.(*net.TCPConn); ok {
		b.conn.Store(conn)
	}
}

// Read reads up to the cut.
func (b *cutBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		if conn := b.conn.Load(); conn != nil {
			_ = conn.SetLinger(0) // closing it resets it then
			_ = conn.Close()
		}
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
