package transport

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crossmount/crossmount/auth"
	"github.com/crossmount/crossmount/internal/netguard"
)

// Retry says how patient a Host is. The zero value means [DefaultRetry].
type Retry struct {
	// Attempts is how often one request is sent at the most. The default is 5.
	Attempts int
	// Base is the first wait; it doubles with each attempt. A wait is drawn
	// evenly between nothing and that; only the last one is that in full, so that
	// a request is not given up early by bad luck. The default is 600 ms: with
	// five attempts, a request survives any outage of 4.8 s.
	Base time.Duration
	// Max bounds a wait that the registry did not ask for. The default is 10 s.
	Max time.Duration
	// Budget is how many repeats all requests of one push to one registry may make
	// together, those after a rate limit that said how long to wait not counted. Two
	// answers that are no sign of trouble give one repeat back. The default is
	// 60.
	Budget int
	// MaxAfter bounds a wait that the registry asked for with Retry-After; a
	// longer one ends the request as rate limited. The default is 2 minutes.
	MaxAfter time.Duration
}

// DefaultRetry returns the patience that the zero Retry stands for.
func DefaultRetry() Retry {
	return Retry{Attempts: 5, Base: 600 * time.Millisecond, Max: 10 * time.Second, Budget: 60, MaxAfter: 2 * time.Minute}
}

func (r Retry) withDefaults() Retry {
	d := DefaultRetry()
	if r.Attempts <= 0 {
		r.Attempts = d.Attempts
	}
	if r.Base <= 0 {
		r.Base = d.Base
	}
	if r.Max <= 0 {
		r.Max = d.Max
	}
	if r.Budget <= 0 {
		r.Budget = d.Budget
	}
	if r.MaxAfter <= 0 {
		r.MaxAfter = d.MaxAfter
	}
	return r
}

// patience says which answers to a request may be met by sending it again.
type patience int

const (
	// briefly: only a rate limit, and only a few times. A mount is a shortcut:
	// one that is not to be had soon is not worth waiting for.
	briefly patience = iota
	// whenLimited: only a rate limit, since anything else has a meaning of its
	// own: a body goes on where its session says.
	whenLimited
	// whenUnheard: also a broken connection, 408, 499, 500, 502, 503, 504 and 520 to
	// 524, since the request can be sent twice without harm.
	whenUnheard
)

// maxBrief bounds how often a mount is sent.
const maxBrief = 3

// maxSeconds is what a longer Retry-After counts as: some 30 years.
const maxSeconds = 1e9

// decide says whether to send a request again after the given attempt (1 is
// the first), and how long to wait before. It is pure: chance is a number from
// 0 to 1 that stands for the jitter, now the time for a Retry-After date.
//
// The first wait that the registry asks for is as told. If it asks again, it has
// told less than it takes, as registries do that tell many the same moment, and
// the wait is no shorter than one that nobody asked for.
func (r Retry) decide(p patience, attempt int, a Answer, now time.Time, chance float64) (time.Duration, bool) {
	most := r.Attempts
	if p == briefly {
		most = min(most, maxBrief)
	}
	if attempt >= most || a.Content {
		return 0, false
	}
	again := a.Limited
	if p == whenUnheard {
		again = again || transient(a.Status) || !a.Heard() && !permanent(a.Err)
	}
	if !again {
		return 0, false
	}
	wait := r.backOff(attempt)
	if attempt < most-1 {
		wait = time.Duration(chance * float64(wait))
	}
	after, told := retryAfter(a, now)
	switch {
	case !told:
		return wait, true
	case attempt > 1:
		return max(after, wait), after <= r.MaxAfter
	}
	return after, after <= r.MaxAfter
}

// backOff returns the longest wait after an attempt.
func (r Retry) backOff(attempt int) time.Duration {
	if shift := attempt - 1; r.Base < r.Max>>shift { // so that the doubling cannot overflow
		return r.Base << shift
	}
	return r.Max
}

// transient says whether a status speaks of a passing trouble. 499 is nginx's,
// for a client that it takes to be gone; 520 to 524 are Cloudflare's, for a server
// behind it that does not answer.
func transient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, 499, 520, 521, 522, 523, 524:
		return true
	}
	return false
}

// permanent says whether what kept an answer from coming would do so again: it
// was refused here, or by a token server that is not merely busy.
func permanent(err error) bool {
	if errors.Is(err, ErrForeign) || errors.Is(err, netguard.ErrForbidden) || errors.Is(err, errReplySize) || certificate(err) {
		return true
	}
	var e *auth.Error
	return errors.As(err, &e) && (e.Op != "token" || e.Status != 0 && !e.Temporary())
}

// retryAfter reads how long the registry or its token server asks to wait: the
// Retry-After header, or what GHCR writes into the body of a 429
// ("retry-after: 10.3ms, allowed: 2000/minute").
func retryAfter(a Answer, now time.Time) (time.Duration, bool) {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		now = date // a date is by the registry's clock
	}
	if d, ok := parseRetryAfter(a.header.Get("Retry-After"), now); ok {
		return d, true
	}
	if e := (*auth.Error)(nil); errors.As(a.Err, &e) {
		return parseRetryAfter(e.RetryAfter, now)
	}
	if !a.Limited {
		return 0, false
	}
	for _, e := range a.Errors {
		_, rest, ok := strings.Cut(strings.ToLower(e.Message), "retry-after:")
		if !ok {
			continue
		}
		word, _, _ := strings.Cut(strings.TrimSpace(rest), ",")
		if d, err := time.ParseDuration(strings.TrimSpace(word)); err == nil && d >= 0 {
			return d, true
		}
	}
	return 0, false
}

// parseRetryAfter reads a Retry-After header: seconds, also with a fraction, or
// a date. More than maxSeconds counts as that.
func parseRetryAfter(v string, now time.Time) (time.Duration, bool) {
	if s, err := strconv.ParseFloat(v, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && s >= 0 {
		return time.Duration(min(s, maxSeconds) * float64(time.Second)), true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}

// limited says whether an answer is a rate limit. GHCR calls its secondary
// limit 403.
func limited(a Answer) bool {
	if a.Status == http.StatusTooManyRequests {
		return true
	}
	if a.Status != http.StatusForbidden {
		return false
	}
	for _, e := range a.Errors {
		if strings.Contains(strings.ToLower(e.Message), "rate limit") || string(e.Code) == "TOOMANYREQUESTS" {
			return true
		}
	}
	return false
}
