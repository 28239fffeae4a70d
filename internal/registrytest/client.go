package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// ErrNoHost is the error of a request to a host that a Network does not have.
var ErrNoHost = errors.New("registrytest: no such host")

// ErrBroken is the error of a request whose connection broke before a reply.
var ErrBroken = errors.New("registrytest: connection reset by peer")

// ErrMalformed is the error of a request whose reply is no HTTP.
var ErrMalformed = errors.New("registrytest: malformed HTTP response")

// Client returns a RoundTripper that calls the registry without a network, whatever the host and scheme
// of the request. Bodies are streamed in both directions, and a request ends with its context. Everything
// happens in goroutines and timers, so that it works under testing/synctest.
//
// It does not send a request again by itself, as net/http's Transport may.
func (r *Registry) Client() http.RoundTripper { return carrier{handler: r} }

// Network is an http.RoundTripper for several handlers by host (host:port as in the URL), each called as
// Registry.Client does. Requests to other hosts fail with ErrNoHost. It must not change while in use.
type Network map[string]http.Handler

// RoundTrip calls the handler of the request's host.
func (n Network) RoundTrip(req *http.Request) (*http.Response, error) {
	h, ok := n[req.URL.Host]
	if !ok {
		closeBody(req)
		return nil, fmt.Errorf("%w: %s", ErrNoHost, req.URL.Host)
	}
	return carrier{handler: h}.RoundTrip(req)
}

// carrier carries requests to a handler in memory.
type carrier struct {
	handler http.Handler
}

// RoundTrip calls the handler in a goroutine that ends with the request: when the handler returns, which
// it does at the latest when the context ends or the reply's body is closed. When RoundTrip returns an
// error, nothing reads the request's body any more.
func (t carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	if err := ctx.Err(); err != nil {
		cancel()
		closeBody(req)
		return nil, context.Cause(req.Context())
	}
	body := lend(req)
	served := serverRequest(ctx, req, body)
	pipe, sink := io.Pipe()
	x := &exchange{header: http.Header{}, sink: sink, head: req.Method == http.MethodHead, ready: make(chan struct{})}
	go func() {
		defer cancel()
		probe(served)
		x.run(t.handler, served)
		body.giveBack()
	}()
	select {
	case <-x.ready:
	case <-ctx.Done():
		// The handler may be done and have cancelled ctx in the same moment.
		if cause := context.Cause(req.Context()); cause != nil {
			cancel()
			body.giveBack()
			_ = pipe.Close()
			return nil, cause
		}
		<-x.ready
	}
	if x.failure != nil {
		return nil, x.failure
	}
	gone := func() error { return context.Cause(req.Context()) }
	stop := context.AfterFunc(req.Context(), func() { _ = sink.CloseWithError(gone()) })
	return x.response(req, &replyBody{PipeReader: pipe, gone: gone, stop: stop, cancel: cancel}), nil
}

// lent is a request's body in the hands of a handler, until it is given back.
type lent struct {
	body io.ReadCloser
	hold chan struct{} // holds one token while the body may be read; closed when it is given back
	once sync.Once
}

func lend(req *http.Request) *lent {
	b := &lent{body: req.Body, hold: make(chan struct{}, 1)}
	if b.body == nil {
		b.body = http.NoBody
	}
	b.hold <- struct{}{}
	return b
}

// Read reads the body, unless it was given back.
func (b *lent) Read(p []byte) (int, error) {
	if _, ok := <-b.hold; !ok {
		return 0, ErrBroken
	}
	defer func() { b.hold <- struct{}{} }()
	return b.body.Read(p)
}

// Close does nothing: the body is closed when it is given back.
func (b *lent) Close() error { return nil }

// giveBack closes the body once no Read is under way.
func (b *lent) giveBack() {
	b.once.Do(func() {
		<-b.hold
		close(b.hold)
		_ = b.body.Close()
	})
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// serverRequest is the request as a server sees it.
func serverRequest(ctx context.Context, req *http.Request, body io.ReadCloser) *http.Request {
	served := req.Clone(ctx)
	served.Body = body
	served.RequestURI = req.URL.RequestURI()
	served.RemoteAddr = "127.0.0.1:1"
	served.Proto, served.ProtoMajor, served.ProtoMinor = "HTTP/1.1", 1, 1
	if served.Host == "" {
		served.Host = req.URL.Host
	}
	u := *req.URL
	u.Scheme, u.Host, u.User = "", "", nil
	served.URL = &u
	if served.Header == nil {
		served.Header = http.Header{}
	}
	sized := req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		served.Body, served.ContentLength = http.NoBody, 0
		if sized {
			served.Header.Set("Content-Length", "0")
		}
	case req.ContentLength > 0:
		served.Header.Set("Content-Length", strconv.FormatInt(req.ContentLength, 10))
	default:
		served.ContentLength, served.TransferEncoding = -1, []string{"chunked"}
	}
	return served
}

// probe finds out whether a body of unknown length is empty, and makes it none then, as net/http does.
func probe(req *http.Request) {
	if req.ContentLength >= 0 {
		return
	}
	var first [1]byte
	n, err := req.Body.Read(first[:])
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		req.Body, req.ContentLength, req.TransferEncoding = http.NoBody, 0, nil
		req.Header.Set("Content-Length", "0")
	case n > 0:
		req.Body = prefixed{io.MultiReader(bytes.NewReader(first[:n]), req.Body), req.Body}
	}
}

// prefixed is a body whose first byte was read already.
type prefixed struct {
	io.Reader
	io.Closer
}

// exchange is the writing end of a reply.
type exchange struct {
	header  http.Header
	sink    *io.PipeWriter
	head    bool
	ready   chan struct{} // closed when the fields below are set
	once    sync.Once     // closes ready
	status  int
	sent    http.Header
	failure error
}

// run calls the handler and ends the reply as net/http would.
func (x *exchange) run(h http.Handler, req *http.Request) {
	defer func() {
		cause := recover()
		err, ok := cause.(error)
		switch {
		case cause == nil:
			x.WriteHeader(http.StatusOK)
			_ = x.sink.Close()
		case ok && errors.Is(err, http.ErrAbortHandler):
			x.fail(ErrBroken)
			_ = x.sink.CloseWithError(io.ErrUnexpectedEOF)
		default:
			panic(cause)
		}
	}()
	h.ServeHTTP(x, req)
}

// Header returns the headers of the reply.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader sends the status and headers; only the first call counts.
func (x *exchange) WriteHeader(status int) {
	x.once.Do(func() {
		x.status, x.sent = status, x.header.Clone()
		close(x.ready)
	})
}

// Write sends a part of the body. It blocks until the client has read it.
func (x *exchange) Write(p []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	if x.head {
		return 0, http.ErrBodyNotAllowed
	}
	return x.sink.Write(p)
}

// FlushError does nothing: everything is sent at once.
func (x *exchange) FlushError() error { return nil }

// malform gives the client an answer that is no HTTP.
func (x *exchange) malform() { x.fail(ErrMalformed) }

func (x *exchange) fail(err error) {
	x.once.Do(func() {
		x.failure = err
		close(x.ready)
	})
}

// response is the reply as a client sees it.
func (x *exchange) response(req *http.Request, body io.ReadCloser) *http.Response {
	length := int64(-1)
	if n, err := strconv.ParseInt(x.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	if !x.head && slices.Contains([]int{http.StatusNoContent, http.StatusNotModified}, x.status) {
		length = 0
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", x.status, http.StatusText(x.status)),
		StatusCode:    x.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        x.sent,
		Body:          body,
		ContentLength: length,
		Request:       req,
	}
}

// replyBody is the reading end of a reply's body.
type replyBody struct {
	*io.PipeReader
	gone   func() error // why the request has ended, nil while it has not
	stop   func() bool
	cancel context.CancelFunc
}

// Read reads on until the request ends.
func (b *replyBody) Read(p []byte) (int, error) {
	if err := b.gone(); err != nil {
		return 0, err
	}
	return b.PipeReader.Read(p)
}

// Close ends the request.
func (b *replyBody) Close() error {
	b.stop()
	b.cancel()
	return b.PipeReader.Close()
}
