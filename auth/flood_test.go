package auth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/registrytest"
)

// flood is a body that begins as text says and does not end for 64 MiB. It counts
// what is read of it.
type flood struct {
	text string
	read int64
}

// Read gives the text and then letters.
func (f *flood) Read(p []byte) (int, error) {
	const end = 64 << 20
	if f.read >= end {
		return 0, io.EOF
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	for ; n < len(p); n++ {
		p[n] = 'a'
	}
	f.read += int64(n)
	return n, nil
}

// Close does nothing.
func (f *flood) Close() error { return nil }

// flooding answers the requests to the token server with a flood.
type flooding struct {
	status int
	body   *flood
	next   http.RoundTripper
}

// RoundTrip answers one request.
func (f flooding) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != tokenHost {
		return f.next.RoundTrip(req)
	}
	return &http.Response{StatusCode: f.status, Header: http.Header{}, Body: f.body, ContentLength: -1, Request: req}, nil
}

// TestFlood: of an answer of the token server that does not end, no more than a
// bounded part is read, and none of it is in the error.
func TestFlood(t *testing.T) {
	for _, tt := range []struct {
		status int
		text   string
		most   int64
	}{
		{200, `{"token":"`, 2 << 20},
		{403, `{"errors":[{"code":"DENIED","message":"`, 128 << 10},
		{404, "", 256 << 10}, // perhaps of a server without OAuth2: it is asked twice
		{503, "aaaa", 128 << 10},
	} {
		w := newWorld(t, registrytest.TokenBehaviour{})
		config := w.config(t)
		body := &flood{text: tt.text}
		config.Transport = flooding{tt.status, body, w.network}
		w.host = auth.New(config)
		a := w.upload(t, push(t, "app"))
		if a.err == nil || strings.Contains(a.err.Error(), "aaaa") || len(a.err.Error()) > 1000 {
			t.Errorf("%d: error %.2000v", tt.status, a.err)
		}
		if body.read > tt.most {
			t.Errorf("%d: %d bytes were read, want at most %d", tt.status, body.read, tt.most)
		}
	}
}
