package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/wire"
)

const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  Error
		want string
	}{
		{Error{Op: "check blob", Host: "r.test", Repository: "a/b", Digest: empty, Status: 404},
			"check blob r.test/a/b@" + empty + ": 404 Not Found"},
		{Error{Op: "get manifest", Host: "r.test:5000", Repository: "app", Reference: "v1", Status: 401},
			"get manifest r.test:5000/app:v1: 401 Unauthorized"},
		{Error{Op: "put manifest", Host: "r.test", Repository: "app", Reference: "v1", Digest: empty, Status: 400,
			Errors: []wire.Error{{Code: "MANIFEST_INVALID", Message: "bad"}, {Code: "BLOB_UNKNOWN", Detail: `"detail"`}}},
			"put manifest r.test/app:v1@" + empty + ": 400 Bad Request: MANIFEST_INVALID (bad): BLOB_UNKNOWN"},
		{Error{Op: "list tags", Host: "r.test", Repository: "app", Err: io.EOF}, "list tags r.test/app: EOF"},
		{Error{Op: "mount blob", Host: "r.test", Repository: "app", Status: 401, Err: auth.ErrSourceRefused},
			"mount blob r.test/app: 401 Unauthorized: " + auth.ErrSourceRefused.Error()},
		{Error{Op: "check blob", Host: "r.test", Repository: "app", Status: 599}, "check blob r.test/app: 599"},
		{Error{Op: "check blob", Host: "r.test", Repository: "app", Err: errors.New("a\x1b[31m\nb\xff\u202ec")},
			"check blob r.test/app: a[31mbc"},
		{Error{Op: "check blob", Host: "r.test", Repository: "app", Err: errors.New(strings.Repeat("ä", 9000))},
			"check blob r.test/app: " + strings.Repeat("ä", maxReason/2) + "…"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestErrorIs(t *testing.T) {
	all := map[string]error{
		"unauthorized": ErrUnauthorized, "denied": ErrDenied, "not found": ErrNotFound, "too large": ErrTooLarge,
		"limited": ErrRateLimited, "blob": ErrBlobUnknown, "unheard": ErrUnheard, "content": ErrContent, "foreign": ErrForeign,
	}
	reason := func(code wire.Code) []wire.Error { return []wire.Error{{Code: "OTHER"}, {Code: code}} }
	tests := []struct {
		name string
		err  Error
		want string
	}{
		{"200", Error{Status: 200}, ""},
		{"400", Error{Status: 400}, ""},
		{"401", Error{Status: 401}, "unauthorized"},
		{"401 for want of a token", Error{Status: 401, Err: auth.ErrSourceRefused}, "unauthorized"},
		{"403", Error{Status: 403}, "denied"},
		{"403 of a rate limit", Error{Status: 403, Limited: true}, "limited"},
		{"400 DENIED", Error{Status: 400, Errors: reason(wire.CodeDenied)}, "denied"},
		{"401 DENIED", Error{Status: 401, Errors: reason(wire.CodeDenied)}, "unauthorized denied"},
		{"404", Error{Status: 404}, "not found"},
		{"404 BLOB_UNKNOWN", Error{Status: 404, Errors: reason(wire.CodeBlobUnknown)}, "not found blob"},
		{"400 MANIFEST_BLOB_UNKNOWN", Error{Status: 400, Errors: reason(wire.CodeManifestBlobUnknown)}, "blob"},
		{"413", Error{Status: 413}, "too large"},
		{"429", Error{Status: 429, Limited: true}, "limited"},
		{"500", Error{Status: 500}, ""},
		{"none", Error{Err: io.EOF}, "unheard"},
		{"content", Error{Err: fmt.Errorf("%w: short", ErrContent)}, "unheard content"},
		{"foreign", Error{Err: fmt.Errorf("%w: http", ErrForeign)}, "unheard foreign"},
	}
	for _, tt := range tests {
		want := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(tt.want, "not found", "not_found"), "too large", "too_large"))
		for name, sentinel := range all {
			expected := false
			for _, w := range want {
				expected = expected || strings.ReplaceAll(w, "_", " ") == name
			}
			if got := errors.Is(fmt.Errorf("push: %w", &tt.err), sentinel); got != expected {
				t.Errorf("%s is %q: %v, want %v", tt.name, name, got, expected)
			}
		}
		if tt.err.Err != nil && !errors.Is(&tt.err, tt.err.Err) {
			t.Errorf("%s does not match its cause", tt.name)
		}
	}
}

// An answer makes an error that says what was asked of whom.
func TestFailure(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(wire.FormatErrors(wire.Error{Code: wire.CodeDenied, Message: "go\x1b[0m away"}))
	})
	r := newRepository(t, s.host, "team/app", nil)
	d := digest.Digest(empty)
	tests := []struct {
		a    Answer
		want string
	}{
		{r.Check(t.Context(), d), "check blob HOST/team/app@" + empty + ": 403 Forbidden"},
		{first(r.Mount(t.Context(), d, "base")), "mount blob HOST/team/app@" + empty + ": 403 Forbidden: DENIED (go[0m away)"},
		{first(r.Start(t.Context(), d)), "start upload HOST/team/app@" + empty + ": 403 Forbidden: DENIED (go[0m away)"},
		{first(r.Manifest(t.Context(), "v1")), "get manifest HOST/team/app:v1: 403 Forbidden: DENIED (go[0m away)"},
		{first(r.Manifest(t.Context(), empty)), "get manifest HOST/team/app@" + empty + ": 403 Forbidden: DENIED (go[0m away)"},
		{r.HasManifest(t.Context(), "v1"), "look at manifest HOST/team/app:v1: 403 Forbidden"},
		{r.PutManifest(t.Context(), "v1", manifestV1, []byte{}), "put manifest HOST/team/app:v1@" + empty + ": 403 Forbidden: DENIED (go[0m away)"},
		{r.Tags(t.Context(), 1), "list tags HOST/team/app: 403 Forbidden: DENIED (go[0m away)"},
	}
	for _, tt := range tests {
		err := tt.a.Failure()
		if got := strings.ReplaceAll(err.Error(), s.host, "HOST"); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		var e *Error
		if !errors.As(err, &e) || e.Host != s.host || e.Repository != "team/app" || e.Status != 403 || !errors.Is(err, ErrDenied) {
			t.Errorf("%+v", err)
		}
	}
}

// first returns the answer of two results.
func first[T any](a Answer, _ T) Answer { return a }

// What a server writes where HTTP should be does not fill an error or break its
// line.
func TestErrorOfNonsense(t *testing.T) {
	long := strings.Repeat("A\x1b[31m\u202e", 2<<10)
	for name, answer := range map[string]string{
		"status line": long + "\r\n\r\n",
		"header":      "HTTP/1.1 200 OK\r\n" + long + "\r\n\r\n",
		"status":      "HTTP/1.1 2x0 " + long + "\r\n\r\n",
		"version":     "HTTP/x.9 200 " + long + "\r\n\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: " + long + "\r\n\r\n",
	} {
		s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { write(w, answer) })
		a := newRepository(t, s.host, "app", nil).Tags(t.Context(), 1)
		text := a.Failure().Error()
		if a.Heard() || len(text) > 2<<10 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: status %d, %d bytes: %.200q", name, a.Status, len(text), text)
		}
	}
}
