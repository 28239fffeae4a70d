package mount

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// world is one state of the hidden truths that a ladder asks about.
type world struct {
	prob                         float64
	target, elsewhere, self, mnt bool
	answer                       anyAnswer
	holds                        []bool
	session                      bool // of the ladder that is simulated in it
}

// worldsOf lists every state of the hidden truths with its probability.
func worldsOf(o odds) []world {
	worlds := []world{{prob: 1}}
	split := func(p float64, set func(*world)) {
		for _, w := range worlds {
			yes := w
			yes.holds = append([]bool(nil), w.holds...)
			yes.prob *= p
			set(&yes)
			worlds = append(worlds, yes)
		}
	}
	halve := func(p float64, set func(w *world, v bool)) {
		n := len(worlds)
		split(p, func(w *world) { set(w, true) })
		for i := range worlds[:n] {
			worlds[i].prob *= 1 - p
			set(&worlds[i], false)
		}
	}
	halve(o.inTarget, func(w *world, v bool) { w.target = v })
	halve(o.elsewhere, func(w *world, v bool) { w.elsewhere = v })
	halve(o.selves, func(w *world, v bool) { w.self = v })
	halve(o.mounts, func(w *world, v bool) { w.mnt = v })
	for _, p := range o.sources {
		halve(p, func(w *world, v bool) { w.holds = append(w.holds, v) })
	}
	var all []world
	for a, p := range o.any {
		for _, w := range worlds {
			w.prob, w.answer = w.prob*p, anyAnswer(a)
			if w.prob > 0 {
				all = append(all, w)
			}
		}
	}
	return all
}

// The tries of the reference by number: the sources follow the three that have none.
const (
	doCheck = iota
	doSelf
	doAny
	doSource
)

// hits says whether a try finds the blob in this world.
func (w world) hits(try int) bool {
	switch try {
	case doCheck:
		return w.target
	case doSelf:
		return w.target && w.self
	case doAny:
		found := w.elsewhere
		for _, h := range w.holds {
			found = found || h
		}
		return w.target && w.answer >= anyTarget || found && w.answer == anyEverywhere
	}
	return w.mnt && w.holds[try-doSource]
}

// opens says whether a miss of the try opens a session in this world.
func (w world) opens(try int, opens bool) bool {
	switch try {
	case doCheck:
		return false
	case doAny:
		return w.answer != anyRefuses
	}
	return opens
}

// trial is one case: odds, what may be tried, and what has missed before.
type trial struct {
	odds    odds
	size    int64
	policy  Policy
	missed  []int
	session bool
}

// start returns the worlds that are left after the tries that have missed.
func (c trial) start() []world {
	worlds := worldsOf(c.odds)
	for _, try := range c.missed {
		var left []world
		for _, w := range worlds {
			if !w.hits(try) && (try != doAny || w.answer != anyRefuses) {
				left = append(left, w)
			}
		}
		worlds = left
	}
	sum := 0.0
	for _, w := range worlds {
		sum += w.prob
	}
	for i := range worlds {
		worlds[i].prob /= sum
		worlds[i].session = c.session
	}
	return worlds
}

// cheapest simulates every order of every subset of tries in every world and
// returns the least expected cost. Orders with a common beginning share its
// simulation.
func (c trial) cheapest(worlds []world, tries []int, bytes float64) (cost float64, ladders int) {
	for _, w := range worlds { // the ladder ends here: upload
		cost += w.prob * (bytes + 1)
		if !w.session {
			cost += w.prob
		}
	}
	ladders = 1
	for i, try := range tries {
		rest := append(append([]int(nil), tries[:i]...), tries[i+1:]...)
		var left []world
		spent := 0.0
		for _, w := range worlds {
			spent += w.prob
			opened := !w.hits(try) && w.opens(try, c.odds.opens)
			if w.session && (w.hits(try) || opened) {
				spent += w.prob / 2 // a DELETE of the session that is void
			}
			if !w.hits(try) {
				w.session = w.session || opened
				left = append(left, w)
			}
		}
		below, n := c.cheapest(left, rest, bytes)
		cost = min(cost, spent+below)
		ladders += n
	}
	return cost, ladders
}

// tries lists what policy and host allow and has not missed yet.
func (c trial) tries() []int {
	var out []int
	for try := range doSource + len(c.odds.sources) {
		ok := true
		switch {
		case try == doCheck:
			ok = c.odds.heads
		case c.policy.NoMounts:
			ok = false
		case try == doAny:
			ok = !c.policy.NoDiscovery
		}
		for _, m := range c.missed {
			ok = ok && m != try
		}
		if ok {
			out = append(out, try)
		}
	}
	return out
}

// ladder returns what the package makes of the same case.
func (c trial) ladder() *ladder {
	s := Step{Blob: Blob{Digest: dig(1), Size: c.size}, odds: c.odds, policy: c.policy.withDefaults()}
	for i := range c.odds.sources {
		s.named = append(s.named, Source{Repository: fmt.Sprint("r", i)})
	}
	var outcomes []Outcome
	for _, m := range c.missed {
		o := Outcome{Status: 202, Session: c.odds.opens}
		switch m {
		case doCheck:
			o = Outcome{Try: Try{Kind: Check}, Status: 404}
		case doSelf:
			o.Try = Try{Kind: MountSelf}
		case doAny:
			o.Try, o.Session = Try{Kind: MountAny}, true
		default:
			o.Try = Try{Kind: Mount, From: s.named[m-doSource].Repository}
		}
		outcomes = append(outcomes, o)
	}
	return s.ladder(outcomes)
}

// chance returns a probability, now and then an extreme one.
func chance(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return 1e-3 * r.Float64()
	case 1:
		return 1 - 1e-3*r.Float64()
	}
	return r.Float64()
}

// randomOdds returns odds with n sources, falling as the package has them.
func randomOdds(r *rand.Rand, n int) odds {
	o := odds{
		inTarget: chance(r), elsewhere: chance(r), selves: chance(r), mounts: chance(r),
		opens: r.IntN(4) > 0, heads: r.IntN(4) > 0,
	}
	if r.IntN(6) == 0 {
		o.inTarget = 0
	}
	sum := 0.0
	for i := range o.any {
		o.any[i] = chance(r)
		sum += o.any[i]
	}
	for i := range o.any {
		o.any[i] /= sum
	}
	p := 1.0
	for range n {
		p *= 1 - 0.5*r.Float64()
		o.sources = append(o.sources, p)
	}
	return o
}

// randomTrial returns a case; one in two begins with some tries missed.
func randomTrial(r *rand.Rand, n int) trial {
	c := trial{odds: randomOdds(r, n), policy: Policy{NoMounts: r.IntN(20) == 0, NoDiscovery: r.IntN(5) == 0}}
	c.policy.RoundTrip = 0.0002 * math.Exp(r.Float64()*math.Log(2000)) // 0.2 to 400 ms
	if r.IntN(10) > 0 {                                                // 1 B to 20 GiB
		c.size = int64(math.Exp(r.Float64() * math.Log(20<<30)))
	}
	if r.IntN(2) == 0 || c.policy.NoMounts {
		return c
	}
	for _, try := range c.tries() {
		if r.IntN(3) > 0 {
			continue
		}
		c.missed = append(c.missed, try)
		c.session = c.session || try == doAny || try != doCheck && c.odds.opens
	}
	return c
}

// TestLadderBruteForce compares the cost of the ladder that is found with the
// cheapest of all ladders, each simulated in every world.
func TestLadderBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cases, ladders, begun := 0, 0, 0
	for n, count := range []int{3500, 3500, 500, 40} {
		for range count {
			c := randomTrial(r, n)
			l := c.ladder()
			got := l.best(l.start).cost
			want, tried := c.cheapest(c.start(), c.tries(), c.policy.withDefaults().sending(c.size))
			if math.Abs(got-want) > 1e-9*max(1, want) {
				t.Fatalf("%+v:\nladder costs %.12g, the cheapest of %d costs %.12g", c, got, tried, want)
			}
			cases, ladders = cases+1, ladders+tried
			if c.missed != nil {
				begun++
			}
		}
	}
	t.Logf("%d cases (%d of them begun), %d ladders simulated", cases, begun, ladders)
}
