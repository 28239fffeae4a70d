package transport

import (
	"context"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// Session is an open upload (spec end-5, end-6, end-14). It belongs to one
// blob, and is used by one goroutine, once: Put, Stream or Cancel ends it.
type Session struct {
	repository *Repository
	url        *url.URL
}

// Put sends the content in one request that closes the session (spec end-6).
func (s *Session) Put(ctx context.Context, d digest.Digest, body Body) Answer {
	return s.send(ctx, call{
		op: "upload blob", method: http.MethodPut, url: wire.WithDigest(s.url, d), digest: d,
		header: octets(), body: &body,
	})
}

// Stream sends the content in one PATCH and closes the session with an empty
// PUT (spec end-5, end-6): for hosts that limit the size of a PUT.
func (s *Session) Stream(ctx context.Context, d digest.Digest, body Body) Answer {
	a := s.send(ctx, call{
		op: "upload blob", method: http.MethodPatch, url: s.url, digest: d, header: octets(), body: &body,
	})
	switch a.Status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
	default:
		return a
	}
	if a.header.Get("Location") != "" {
		next, err := s.repository.location(a)
		if err != nil {
			a.Status, a.Err = 0, err
			return a
		}
		s.url = next
	}
	end := s.send(ctx, call{
		op: "close upload", method: http.MethodPut, url: wire.WithDigest(s.url, d), digest: d, header: octets(),
	})
	end.Sent += a.Sent
	end.Requests += a.Requests
	return end
}

// Cancel gives the session up (spec end-14). Many registries do not let a
// client do so; what they answer makes no difference to a push.
func (s *Session) Cancel(ctx context.Context) Answer {
	return s.send(ctx, call{op: "cancel upload", method: http.MethodDelete, url: s.url, final: true})
}

// send makes a request to the session.
func (s *Session) send(ctx context.Context, c call) Answer {
	c.must, c.patience = auth.Push(s.repository.path()), whenLimited
	a := s.repository.do(ctx, c)
	a.Corrupt = a.Has(wire.CodeDigestInvalid)
	return a
}

func octets() http.Header { return http.Header{"Content-Type": {"application/octet-stream"}} }
