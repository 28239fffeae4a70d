package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/netguard"
	"github.com/crossmount/crossmount/internal/wire"
)

// now is when the answers of these tests come.
func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// answered is an answer with a status; more are pairs of header and value.
func answered(status int, more ...string) Answer {
	h := http.Header{}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	a := Answer{Status: status, header: h}
	a.Limited = limited(a)
	return a
}

// said is an answer with one error in its body.
func said(status int, code wire.Code, message string) Answer {
	a := Answer{Status: status, Errors: []wire.Error{{Code: code, Message: message}}}
	a.Limited = limited(a)
	return a
}

// unheard is an answer that did not come.
func unheard(err error) Answer { return Answer{Err: err} }

// The first attempt of each patience, for each answer.
func TestDecideWhat(t *testing.T) {
	const never, all, unlessMounted = "", "briefly whenLimited whenUnheard", "whenUnheard"
	tests := []struct {
		name string
		a    Answer
		want string // the patiences that send again
	}{
		{"200", answered(200), never},
		{"201", answered(201), never},
		{"202", answered(202), never},
		{"400", answered(400), never},
		{"401", answered(401), never},
		{"403", answered(403), never},
		{"404", answered(404), never},
		{"405", answered(405), never},
		{"408", answered(408), unlessMounted},
		{"413", answered(413), never},
		{"416", answered(416), never},
		{"422", answered(422), never},
		{"425", answered(425), never},
		{"429", answered(429), all},
		{"500", answered(500), unlessMounted},
		{"501", answered(501), never},
		{"502", answered(502), unlessMounted},
		{"503", answered(503), unlessMounted},
		{"504", answered(504), unlessMounted},
		{"505", answered(505), never},
		{"403 of a rate limit", said(403, "DENIED", "You have exceeded a secondary Rate Limit."), all},
		{"403 with its code", said(403, wire.CodeTooManyRequests, ""), all},
		{"403 of another kind", said(403, wire.CodeDenied, "no access"), never},
		{"401 that speaks of a rate limit", said(401, wire.CodeUnauthorized, "rate limit"), never},
		{"broken connection", unheard(io.ErrUnexpectedEOF), unlessMounted},
		{"content", Answer{Err: ErrContent, Content: true}, never},
		{"content, rate limited", Answer{Err: ErrContent, Content: true, Limited: true}, never},
		{"a redirect that is refused", unheard(fmt.Errorf("%w: http", ErrForeign)), never},
		{"an address that is refused", unheard(fmt.Errorf("dial: %w", netguard.ErrForbidden)), never},
		{"a reply that is too large", unheard(fmt.Errorf("read reply: %w", errReplySize)), never},
		{"a certificate", unheard(&tls.CertificateVerificationError{Err: errors.New("expired")}), never},
		{"token server busy", unheard(&auth.Error{Op: "token", Status: 503}), unlessMounted},
		{"token server limits", unheard(&auth.Error{Op: "token", Status: 429}), unlessMounted},
		{"token server not heard", unheard(&auth.Error{Op: "token", Err: io.EOF}), unlessMounted},
		{"token server does not know it", unheard(&auth.Error{Op: "token", Status: 404}), never},
		{"keychain", unheard(&auth.Error{Op: "credential", Err: io.EOF}), never},
		{"realm", unheard(&auth.Error{Op: "challenge", Err: io.EOF}), never},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for i, name := range []string{"briefly", "whenLimited", "whenUnheard"} {
				if wait, again := DefaultRetry().decide(patience(i), 1, tt.a, now(), 1); again {
					got += " " + name
				} else if wait != 0 {
					t.Errorf("%s: waits %v for nothing", name, wait)
				}
			}
			if want := tt.want; want != "" && got != " "+want || want == "" && got != "" {
				t.Errorf("sent again by%s; want %s", got, want)
			}
		})
	}
}

func TestDecideHowOften(t *testing.T) {
	tests := []struct {
		p        patience
		attempts int
		want     int // the last attempt that is followed by another one
	}{
		{briefly, 1, 0}, {briefly, 2, 1}, {briefly, 3, 2}, {briefly, 5, 2}, {briefly, 60, 2},
		{whenLimited, 1, 0}, {whenLimited, 5, 4}, {whenLimited, 60, 59},
		{whenUnheard, 1, 0}, {whenUnheard, 5, 4}, {whenUnheard, 60, 59},
	}
	for _, tt := range tests {
		r := Retry{Attempts: tt.attempts}.withDefaults()
		last := 0
		for attempt := 1; attempt <= 70; attempt++ {
			if _, again := r.decide(tt.p, attempt, answered(429), now(), 0.5); again {
				last = attempt
			}
		}
		if last != tt.want {
			t.Errorf("patience %d, %d attempts: the last repeat follows %d, want %d", tt.p, tt.attempts, last, tt.want)
		}
	}
}

// Whatever the luck, a request that is given up has waited as long as a plain
// client would have, ggcr's 4.4 s; and the first wait that is asked for is as told.
func TestDecideLastWait(t *testing.T) {
	for _, chance := range []float64{0, 0.3, 0.99} {
		for _, told := range []time.Duration{-1, 0, 20 * time.Millisecond, 7 * time.Second} {
			a, waited := answered(429), time.Duration(0)
			if told >= 0 {
				a.header = http.Header{"Retry-After": {fmt.Sprint(told.Seconds())}}
			}
			for attempt := 1; ; attempt++ {
				wait, again := DefaultRetry().decide(whenUnheard, attempt, a, now(), chance)
				if !again {
					break
				}
				if waited += wait; wait < told || attempt == 1 && told >= 0 && wait != told {
					t.Errorf("told %v, attempt %d: waits %v", told, attempt, wait)
				}
			}
			if waited < 4400*time.Millisecond {
				t.Errorf("chance %v, told %v: given up after %v", chance, told, waited)
			}
		}
	}
}

// The wait doubles, stays between nothing and its bound, and never overflows.
func TestDecideBackOff(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	tests := []struct {
		r       Retry
		attempt int
		chance  float64
		want    time.Duration
	}{
		{DefaultRetry(), 1, 0, 0},
		{DefaultRetry(), 1, 1, 600 * ms},
		{DefaultRetry(), 1, 0.5, 300 * ms},
		{DefaultRetry(), 2, 1, 1200 * ms},
		{DefaultRetry(), 3, 1, 2400 * ms},
		{DefaultRetry(), 4, 0.25, 1200 * ms},
		{DefaultRetry(), 5, 1, 9600 * ms},
		{DefaultRetry(), 6, 1, 10 * s},
		{DefaultRetry(), 60, 1, 10 * s},
		{DefaultRetry(), 60, 0, 0},
		{Retry{Base: 20 * s, Max: 10 * s}, 1, 1, 10 * s},
		{Retry{Base: 10 * s, Max: 10 * s}, 1, 1, 10 * s},
		{Retry{Base: 1<<35 + 1, Max: 100 * s}, 30, 1, 100 * s}, // doubled 29 times it is 536 ms in 64 bits
		{Retry{Base: math.MaxInt64, Max: math.MaxInt64}, 60, 0.5, math.MaxInt64/2 + 1},
		{Retry{Base: 1, Max: math.MaxInt64}, 63, 0, 0},
	}
	for _, tt := range tests {
		tt.r.Attempts = 100
		got, again := tt.r.withDefaults().decide(whenUnheard, tt.attempt, answered(503), now(), tt.chance)
		if !again || got != tt.want {
			t.Errorf("%+v, attempt %d, chance %v: %v, %v; want %v", tt.r, tt.attempt, tt.chance, got, again, tt.want)
		}
	}
	for attempt := 1; attempt <= 60; attempt++ {
		for _, chance := range []float64{0, 0.3, 1} {
			r := Retry{Attempts: 100}.withDefaults()
			got, again := r.decide(whenUnheard, attempt, answered(502), now(), chance)
			if !again || got < 0 || got > time.Duration(chance*float64(r.Max)) {
				t.Errorf("attempt %d, chance %v: %v, %v", attempt, chance, got, again)
			}
		}
	}
}

func TestRetryDefaults(t *testing.T) {
	if got := (Retry{}).withDefaults(); got != DefaultRetry() {
		t.Errorf("zero: %+v, want %+v", got, DefaultRetry())
	}
	if got := (Retry{Attempts: -1, Base: -1, Max: -1, MaxAfter: -1, Budget: -1}).withDefaults(); got != DefaultRetry() {
		t.Errorf("negative: %+v, want %+v", got, DefaultRetry())
	}
	set := Retry{Attempts: 2, Base: 3, Max: 4, MaxAfter: 5, Budget: 6}
	if got := set.withDefaults(); got != set {
		t.Errorf("set: %+v, want %+v", got, set)
	}
}

// What the registry asks for is waited for, however long the own bound is, up
// to MaxAfter. It is waited for in full: chance has no part in it.
func TestDecideRetryAfter(t *testing.T) {
	const ms, s, own = time.Millisecond, time.Second, 150 * time.Millisecond
	header := func(v string) Answer { return answered(429, "Retry-After", v) }
	body := func(m string) Answer { return said(429, wire.CodeTooManyRequests, m) }
	tests := []struct {
		name  string
		a     Answer
		want  time.Duration
		again bool
	}{
		{"none", answered(429), own, true},
		{"seconds", header("3"), 3 * s, true},
		{"zero", header("0"), 0, true},
		{"fraction", header("1.5"), 1500 * ms, true},
		{"the bound", header("120"), 120 * s, true},
		{"above the bound", header("120.1"), 120100 * ms, false},
		{"a day", header("86400"), 24 * time.Hour, false},
		{"absurd", header("1e300"), 1e9 * s, false},
		{"beyond numbers", header("9" + fmt.Sprintf("%0400d", 9)), 1e9 * s, false},
		{"infinite", header("Inf"), 1e9 * s, false},
		{"negative", header("-5"), own, true},
		{"no number", header("NaN"), own, true},
		{"words", header("soon"), own, true},
		{"date", header("Sun, 01 Mar 2026 12:00:07 GMT"), 7 * s, true},
		{"date gone by", header("Sun, 01 Mar 2026 11:00:00 GMT"), 0, true},
		{"date far away", header("Fri, 31 Dec 9999 23:59:59 GMT"), math.MaxInt64, false},
		{"503", answered(503, "Retry-After", "4"), 4 * s, true},
		{"header before body", Answer{
			Status: 429, Limited: true, header: http.Header{"Retry-After": {"2"}},
			Errors: []wire.Error{{Message: "retry-after: 9s"}},
		}, 2 * s, true},
		{"GHCR", body("retry-after: 10.3ms, allowed: 2000/minute"), 10300 * time.Microsecond, true},
		{"GHCR, in capitals", body("Retry-After: 1.2S, allowed: 44000/minute"), 1200 * ms, true},
		{"GHCR, 403", said(403, "DENIED", "rate limit; retry-after: 300ms"), 300 * ms, true},
		{"GHCR, later in the text", body("too many requests, retry-after: 20ms"), 20 * ms, true},
		{"GHCR, too long", body("retry-after: 3m, allowed: 1/minute"), 3 * time.Minute, false},
		{"text without unit", body("retry-after: 10"), own, true},
		{"text, negative", body("retry-after: -10s"), own, true},
		{"text of what is no limit", said(503, "UNAVAILABLE", "retry-after: 9s"), own, true},
		{"token server", unheard(&auth.Error{Op: "token", Status: 429, RetryAfter: "6"}), 6 * s, true},
		{"token server, too long", unheard(&auth.Error{Op: "token", Status: 429, RetryAfter: "600"}), 600 * s, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, again := DefaultRetry().decide(whenUnheard, 1, tt.a, now(), 0.25)
			if got.Round(time.Microsecond) != tt.want.Round(time.Microsecond) || again != tt.again {
				t.Errorf("%v, %v; want %v, %v", got, again, tt.want, tt.again)
			}
		})
	}
}

func TestSleep(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := sleep(ctx, time.Hour); !errors.Is(err, cause) {
		t.Errorf("sleep in a context that has ended: %v, want its cause", err)
	}
	if err := sleep(t.Context(), 0); err != nil {
		t.Errorf("sleep of nothing: %v", err)
	}
}
