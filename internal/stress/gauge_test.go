package stress_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/crossmount/crossmount/internal/wire"
)

// gauge counts requests on the wire: those that were sent and whose reply was
// not read to its end. Like some registries, it refuses those above a limit.
type gauge struct {
	next       http.RoundTripper
	status     int           // of a refusal
	retryAfter string        // of a refusal; "" is none
	latency    time.Duration // of a refusal

	// mu guards the fields below.
	mu      sync.Mutex
	limit   int // requests at once above which it refuses; 0 is none
	onWire  int
	content int // those of onWire that carry content
	repos   map[string]int
	total   tally
	since   tally // the last call of lap
}

// tally is what a gauge has seen in some time.
type tally struct {
	began, last time.Time
	requests    int
	refused     int
	peak        int                      // the most on the wire at once
	peakContent int                      // the most that carried content
	busy        time.Duration            // the sum over all requests of their time on the wire
	together    time.Duration            // time in which two repositories were on the wire
	shares      map[string]time.Duration // time on the wire of each repository meanwhile
}

// average is how many requests were on the wire in the mean.
func (t tally) average() float64 { return float64(t.busy) / float64(t.last.Sub(t.began)) }

func newGauge(next http.RoundTripper) *gauge {
	g := &gauge{next: next, repos: map[string]int{}, latency: 5 * time.Millisecond}
	g.total = g.fresh()
	g.since = g.fresh()
	return g
}

func (g *gauge) fresh() tally {
	now := time.Now()
	return tally{began: now, last: now, shares: map[string]time.Duration{}}
}

// lap returns what was seen since the last lap, and sets another limit.
func (g *gauge) lap(limit int) tally {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(func(*tally) {})
	t := g.since
	g.limit, g.since = limit, g.fresh()
	return t
}

// all returns what was seen in all.
func (g *gauge) all() tally {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(func(*tally) {})
	return g.total
}

// note adds the time that has passed to both tallies, and what do does. The
// caller holds mu.
func (g *gauge) note(do func(*tally)) {
	now := time.Now()
	for _, t := range []*tally{&g.total, &g.since} {
		passed := now.Sub(t.last)
		t.last = now
		t.busy += passed * time.Duration(g.onWire)
		if len(g.repos) > 1 {
			t.together += passed
			for repo, n := range g.repos {
				t.shares[repo] += passed * time.Duration(n)
			}
		}
		do(t)
		t.peak, t.peakContent = max(t.peak, g.onWire), max(t.peakContent, g.content)
	}
}

// RoundTrip sends a request on, or refuses it.
func (g *gauge) RoundTrip(req *http.Request) (*http.Response, error) {
	repo := ""
	if parsed, err := wire.Parse(req.Method, req.URL); err == nil {
		repo = strings.TrimRight(parsed.Repository, "0123456789") // of one push
	}
	content := 0
	if req.ContentLength > 0 && !strings.Contains(req.URL.Path, "/manifests/") {
		content = 1
	}
	refuse := g.enter(repo, content)
	leave := sync.OnceFunc(func() { g.leave(repo, content) })
	if refuse {
		return g.refuse(req, leave)
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		leave()
		return nil, err
	}
	resp.Body = &leaving{resp.Body, leave}
	return resp, nil
}

func (g *gauge) enter(repo string, content int) (refuse bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(func(*tally) {})
	g.onWire++
	g.content += content
	g.repos[repo]++
	refuse = g.limit > 0 && g.onWire > g.limit
	g.note(func(t *tally) {
		t.requests++
		if refuse {
			t.refused++
		}
	})
	return refuse
}

func (g *gauge) leave(repo string, content int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(func(*tally) {})
	g.onWire--
	g.content -= content
	if g.repos[repo]--; g.repos[repo] == 0 {
		delete(g.repos, repo)
	}
}

// refuse answers for a registry that wants fewer requests.
func (g *gauge) refuse(req *http.Request, leave func()) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	timer := time.NewTimer(g.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-req.Context().Done():
		leave()
		return nil, req.Context().Err()
	}
	header := http.Header{}
	if g.retryAfter != "" {
		header.Set("Retry-After", g.retryAfter)
	}
	return &http.Response{
		StatusCode: g.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: header,
		Body: &leaving{io.NopCloser(strings.NewReader("slow down")), leave},
	}, nil
}

// leaving is a reply that is on the wire until it is closed.
type leaving struct {
	io.ReadCloser
	leave func()
}

// Close ends the reply.
func (l *leaving) Close() error {
	defer l.leave()
	return l.ReadCloser.Close()
}
