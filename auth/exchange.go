package auth

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/crossmount/crossmount/internal/wire"
)

const (
	maxReply     = 1 << 20 // bytes of an answer of the token server; transport.Exchange reads 64 KiB of it
	maxRedirects = 5
	maxCodes     = 8 // error codes that are kept

	// placeholder stands for the realm in what transport.Exchange sees. That refuses realms at private
	// addresses, where on-premises registries have theirs; the checks here and in the transport hold instead.
	placeholder = "https://token-server.invalid/"
)

// exchange makes one token request, for want. The protocol, with OAuth2 for identity tokens and its fallback,
// is that of transport.Exchange; where its requests go is up to a messenger.
func (h *Host) exchange(ctx context.Context, ch *challenge, cred credential, target string, want Scope) (*token, error) {
	from := h.config.Now()
	m := &messenger{realm: ch.realm, next: h.config.Transport, userAgent: h.config.UserAgent}
	stand := placeholder
	if ch.realm.RawQuery != "" {
		stand += "?" + ch.realm.RawQuery
	}
	limited, stop := h.limit(ctx)
	defer stop()
	reply, err := transport.Exchange(limited, h.config.Registry, authn.FromConfig(cred.config), m, want.Params(),
		&transport.Challenge{Scheme: "bearer", Parameters: map[string]string{"realm": stand, "service": ch.service}})
	log := h.config.Logger.With("host", h.config.Registry.RegistryStr(), "realm", ch.realm.Host, "scope", want.String())
	secret := ""
	if err == nil {
		// Registries send either; those that send both mean the same.
		secret = cmp.Or(reply.AccessToken, reply.Token)
	}
	if !usable(secret) {
		e := h.exchangeError(ch, m, want)
		if context.Cause(limited) == errSilent {
			e.Err = errSilent
		}
		log.DebugContext(ctx, "no token", "error", e)
		return nil, e
	}
	life := lifetime(reply.ExpiresIn)
	t := &token{secret: secret, target: target, asked: want, granted: want, from: from, until: from.Add(life)}
	if claim, ok := granted(secret); ok {
		t.granted, t.claimed = claim, true
	}
	log.DebugContext(ctx, "token", "granted", t.granted.String(), "claimed", t.claimed, "life", life)
	return t, nil
}

// errSilent says that a token server took a request and did not answer it.
var errSilent = errors.New("it did not answer in time")

// limit bounds one exchange.
func (h *Host) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if h.config.Wait <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, h.config.Wait, errSilent)
}

// exchangeError tells why there is no token. It is made from what the messenger saw and never from the error
// of transport.Exchange, whose text may quote the answer.
func (h *Host) exchangeError(ch *challenge, m *messenger, want Scope) *Error {
	e := h.fail("token", nil)
	e.Realm, e.Scope = ch.realm.Host, want.String()
	switch {
	case m.err != nil:
		e.Err = withoutURL(m.err)
	case m.status != 0 && m.status != http.StatusOK:
		e.Status, e.Codes, e.RetryAfter = m.status, m.codes, m.retryAfter
	default:
		e.Err = errMalformed
	}
	return e
}

// usable reports whether a token can stand in a header.
func usable(secret string) bool {
	return secret != "" && !strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' })
}

// messenger carries the requests of one transport.Exchange to the realm and notes what came back. It is used
// by one goroutine.
type messenger struct {
	realm     *url.URL
	next      http.RoundTripper
	userAgent string

	// What the last request came to.
	err        error
	status     int
	codes      []string
	retryAfter string
}

// RoundTrip sends in to the realm, with the query that it has. It follows redirects itself, and bounds the
// answer.
func (m *messenger) RoundTrip(in *http.Request) (*http.Response, error) {
	out := in.Clone(in.Context())
	u := *m.realm
	u.RawQuery = in.URL.RawQuery
	out.URL, out.Host = &u, ""
	if m.userAgent != "" {
		out.Header.Set("User-Agent", m.userAgent)
	}
	client := http.Client{Transport: m.next, CheckRedirect: m.redirect}
	resp, err := client.Do(out)
	m.err, m.status, m.codes, m.retryAfter = err, 0, nil, ""
	if err != nil {
		return nil, err
	}
	m.status = resp.StatusCode
	if resp.StatusCode != http.StatusOK {
		m.note(resp)
		return resp, nil
	}
	resp.Body = &replyBody{Reader: io.LimitReader(resp.Body, maxReply), Closer: resp.Body, messenger: m}
	return resp, nil
}

// note keeps what an answer without a token says, and replaces its body, which has been read.
func (m *messenger) note(resp *http.Response) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxErrorBody))
	resp.Body.Close()
	if err != nil {
		body = nil // the status says enough
	}
	m.codes = codes(wire.ParseErrors(body))
	m.retryAfter = resp.Header.Get("Retry-After")
	resp.Body = http.NoBody
	if resp.StatusCode == http.StatusMethodNotAllowed && resp.Request.Method == http.MethodPost {
		// A token server without OAuth2. transport.Exchange falls back to GET on 404 only.
		resp.StatusCode = http.StatusNotFound
	}
}

// codes returns the error codes: words of upper-case letters, so that nothing else gets into an error.
func codes(errs []wire.Error) []string {
	var list []string
	for _, e := range errs {
		word := strings.Trim(string(e.Code), "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
		if word && e.Code != wire.CodeUnknown && len(list) < maxCodes {
			list = append(list, string(e.Code))
		}
	}
	return list
}

// redirect decides on following the token server to another URL. To another origin go neither credentials nor
// what a Referer header would tell, and no body, which may hold a refresh token.
func (m *messenger) redirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer")
	if len(via) > maxRedirects {
		return errRedirect
	}
	scheme := req.URL.Scheme
	if scheme != "https" && (scheme != "http" || m.realm.Scheme != "http") || req.URL.User != nil || req.URL.Hostname() == "" {
		return errRedirectTo
	}
	foreign := origin(req.URL) != origin(m.realm)
	for _, r := range via {
		foreign = foreign || origin(r.URL) != origin(m.realm)
	}
	if foreign && via[0].Method != http.MethodGet {
		return errRedirectPost
	}
	if foreign {
		req.Header.Del("Authorization")
	}
	return nil
}

// replyBody is the body of an answer with a token. It tells the messenger when the connection breaks.
type replyBody struct {
	io.Reader
	io.Closer
	messenger *messenger
}

// Read reads what is there up to the bound.
func (b *replyBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		b.messenger.err = err
	}
	return n, err
}
