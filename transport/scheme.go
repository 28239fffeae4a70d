package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

// contact makes a request to u. As long as it is not known which scheme the
// host speaks, a request that was not understood by the one is made by the other
// too: without a credential, like the first, since the host has not asked for
// one.
func (r *Repository) contact(ctx context.Context, c call, method string, u *url.URL, need auth.Need) (Answer, *http.Response) {
	known := r.host.scheme.Load() != nil
	a, resp := r.exchange(ctx, c, method, u, need)
	switch {
	case c.url != nil || !strings.EqualFold(u.Host, r.host.Name()):
		return a, resp
	case u.Scheme == "http":
		return r.elseSecure(ctx, c, method, u, need, a, resp)
	case known:
		return a, resp
	}
	return r.elsePlain(ctx, c, method, u, need, a, resp)
}

// elseSecure goes on by https where an answer by http may be that of a server
// that wants https.
func (r *Repository) elseSecure(ctx context.Context, c call, method string, u *url.URL, need auth.Need, a Answer, resp *http.Response) (Answer, *http.Response) {
	h := r.host
	if !h.speaks("https") {
		if !h.speaks("http") && !mayWantTLS(a) && a.Heard() {
			h.settle(h.shown(a))
		}
		if h.speaks("http") || !mayWantTLS(a) || ctx.Err() != nil {
			return a, resp
		}
	}
	secure := *u
	secure.Scheme = "https"
	b, answer := r.exchange(ctx, c, method, &secure, need)
	b.Requests += a.Requests
	if b.Heard() || certificate(b.Err) {
		h.settle("https")
	}
	if h.speaks("https") {
		return b, answer
	}
	var notTLS tls.RecordHeaderError
	if a.Heard() && errors.As(b.Err, &notTLS) {
		h.settle("http")
	}
	a.Requests = b.Requests
	return a, resp
}

// elsePlain goes on by http where no registry answers by https. One that shows
// itself there is never asked in clear, as what serves it by https may serve it
// by http too.
func (r *Repository) elsePlain(ctx context.Context, c call, method string, u *url.URL, need auth.Need, a Answer, resp *http.Response) (Answer, *http.Response) {
	h := r.host
	if a.Heard() && !mayBeAnother(a) {
		h.settle("https")
	}
	if h.speaks("https") || ctx.Err() != nil || a.Content {
		return a, resp
	}
	plain := *u
	plain.Scheme = "http"
	b, answer := r.exchange(ctx, c, method, &plain, need)
	b.Requests += a.Requests
	if b.Heard() && (!a.Heard() || saysRegistry(b)) {
		h.settle(h.shown(b))
		return b, answer
	}
	a.Requests = b.Requests
	if a.Heard() {
		h.settle("https")
	} else {
		a.Err = fmt.Errorf("%w; by http: %w", a.Err, b.Failure())
	}
	return a, resp
}

// mayBeAnother says whether an answer may be that of a server that is no
// registry: a refusal without anything that only a registry says.
func mayBeAnother(a Answer) bool {
	return a.Status >= 300 && !transient(a.Status) && !a.Limited && !saysRegistry(a)
}

// saysRegistry says whether an answer has what only a registry says.
func saysRegistry(a Answer) bool {
	coded := slices.ContainsFunc(a.Errors, func(e wire.Error) bool { return e.Code != wire.CodeUnknown })
	opened := a.Status == http.StatusAccepted && a.header.Get("Location") != ""
	return coded || opened || a.Digest != "" || a.header.Get("Docker-Distribution-Api-Version") != "" || a.header.Get("WWW-Authenticate") != ""
}

// speaks says whether the host is known to speak the scheme.
func (h *Host) speaks(scheme string) bool {
	s := h.scheme.Load()
	return s != nil && *s == scheme
}

// shown returns the scheme that an answer by http shows the host to speak:
// https if it leads there on the same host, else http.
func (h *Host) shown(a Answer) string {
	if !redirected(a.Status, a.header) {
		return "http"
	}
	to, err := a.url.Parse(a.header.Get("Location"))
	if err == nil && to.Scheme == "https" && authority(to) == authority(&url.URL{Scheme: "https", Host: h.Name()}) {
		return "https"
	}
	return "http"
}

// mayWantTLS says whether the answer to a request by http may be that of a
// server that wants https. Go, nginx and Apache answer 400, which a registry of
// the distribution kind does not do without its header; others send a TLS alert,
// or break off.
func mayWantTLS(a Answer) bool {
	if a.Heard() {
		return a.Status == http.StatusBadRequest && a.header.Get("Docker-Distribution-Api-Version") == ""
	}
	return errors.Is(a.Err, io.EOF) || errors.Is(a.Err, syscall.ECONNRESET) ||
		a.Err != nil && strings.Contains(a.Err.Error(), "malformed HTTP response")
}

// certificate says whether err is about the certificate of a host, which then
// speaks https.
func certificate(err error) bool {
	var e *tls.CertificateVerificationError
	return errors.As(err, &e)
}
