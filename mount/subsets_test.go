package mount

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// subsets finds the cheapest ladder by going over every subset of what may be
// tried, with the sources in any order: the reference for many sources, where
// listing all orders takes too long. A subset is a set of bits, numbered as the
// tries of a trial.
type subsets struct {
	trial
	done  uint             // what had missed at the start
	may   uint             // what may still be tried
	reach map[uint]reached // by subset that missed
	best  map[uint]float64 // cost of the rest, weighted with how likely it is needed
}

// reached is how likely a subset misses, by what the host answers to a mount
// without a source.
type reached [numAny]float64

func (p reached) sum() (sum float64) {
	for _, q := range p {
		sum += q
	}
	return sum
}

func newSubsets(c trial) *subsets {
	s := &subsets{trial: c, reach: map[uint]reached{}, best: map[uint]float64{}}
	for _, try := range c.missed {
		s.done |= 1 << try
	}
	for _, try := range c.tries() {
		s.may |= 1 << try
	}
	return s
}

// misses returns how likely all tries of a subset miss: a sum over the truths
// other than which sources hold the blob, which are independent of each other.
func (s *subsets) misses(set uint) reached {
	if p, ok := s.reach[set]; ok {
		return p
	}
	has := func(try int) bool { return set>>try&1 == 1 }
	tried, all := 1.0, 1.0
	for i, p := range s.odds.sources {
		if has(doSource + i) {
			tried *= 1 - p
		}
		all *= 1 - p
	}
	var p reached
	for truth := range 1 << 4 {
		w := world{prob: 1}
		for i, q := range []float64{s.odds.inTarget, s.odds.elsewhere, s.odds.selves, s.odds.mounts} {
			if truth>>i&1 == 0 {
				q = 1 - q
			}
			w.prob *= q
		}
		w.target, w.elsewhere, w.self, w.mnt = truth&1 > 0, truth&2 > 0, truth&4 > 0, truth&8 > 0
		for a := range s.odds.any {
			w.answer = anyAnswer(a)
			if has(doCheck) && w.hits(doCheck) || has(doSelf) && w.hits(doSelf) || has(doAny) && w.hits(doAny) {
				continue
			}
			sources := 1.0
			switch {
			case has(doAny) && w.answer == anyEverywhere:
				sources = all
			case w.mnt:
				sources = tried
			}
			if s.done>>doAny&1 == 0 || w.answer != anyRefuses {
				p[a] += w.prob * s.odds.any[a] * sources
			}
		}
	}
	s.reach[set] = p
	return p
}

// open says whether a session is open once a subset has missed, on a host that
// gives answer a.
func (s *subsets) open(set uint, a anyAnswer) bool {
	begun := set &^ s.done
	named := begun &^ (1<<doCheck | 1<<doAny)
	return s.session || named > 0 && s.odds.opens || begun>>doAny&1 == 1 && a != anyRefuses
}

// cheapest returns the least cost from where set has missed, weighted with how
// likely it comes to that.
func (s *subsets) cheapest(set uint, bytes float64) float64 {
	if cost, ok := s.best[set]; ok {
		return cost
	}
	here := s.misses(set)
	cost := 0.0
	for a, p := range here {
		cost += p * (bytes + 1)
		if !s.open(set, anyAnswer(a)) {
			cost += p
		}
	}
	for rest := s.may &^ set; rest > 0; rest &= rest - 1 {
		try := bits.TrailingZeros(rest)
		next := set | 1<<try
		spent, after := here.sum(), s.misses(next)
		for a, p := range here {
			if !s.open(set, anyAnswer(a)) {
				continue
			}
			spent += (p - after[a]) / 2
			if (world{answer: anyAnswer(a)}).opens(try, s.odds.opens) {
				spent += after[a] / 2
			}
		}
		cost = min(cost, spent+s.cheapest(next, bytes))
	}
	s.best[set] = cost
	return cost
}

// TestLadderSubsets compares the ladder with the cheapest over every subset of
// up to eight sources in any order: to take them by falling probability loses
// nothing.
func TestLadderSubsets(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	cases, searched := 0, 0
	for n, count := range []int{500, 500, 500, 500, 400, 300, 160, 100, 50} {
		for range count {
			c := randomTrial(r, n)
			l, s := c.ladder(), newSubsets(c)
			got := l.best(l.start).cost
			want := s.cheapest(s.done, c.policy.withDefaults().sending(c.size)) / s.misses(s.done).sum()
			if math.Abs(got-want) > 1e-9*max(1, want) {
				t.Fatalf("%+v:\nladder costs %.12g, the cheapest of %d subsets %.12g", c, got, len(s.best), want)
			}
			cases, searched = cases+1, searched+len(s.best)
		}
	}
	t.Logf("%d cases, %d subsets searched", cases, searched)
}

// TestReferencesAgree: the two references give the same cost where both can.
func TestReferencesAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for n := range 120 {
		c := randomTrial(r, n%3)
		bytes := c.policy.withDefaults().sending(c.size)
		s := newSubsets(c)
		a, _ := c.cheapest(c.start(), c.tries(), bytes)
		if b := s.cheapest(s.done, bytes) / s.misses(s.done).sum(); math.Abs(a-b) > 1e-9*max(1, a) {
			t.Fatalf("%+v: %v by simulation, %v by subsets", c, a, b)
		}
	}
}

// TestLadderMissedSources: sources that missed are out, wherever they stood in
// the order, and those that are left keep theirs.
func TestLadderMissedSources(t *testing.T) {
	c := trial{odds: hostOdds(Traits{}), size: 100 << 20, policy: Policy{NoDiscovery: true}}
	c.odds.heads = false
	c.odds.sources = []float64{0.9, 0.8, 0.7, 0.6}
	for missed := range 1 << 4 {
		c.missed = []int{doSelf}
		var want []string
		for i := range 4 {
			if missed>>i&1 == 1 {
				c.missed = append(c.missed, doSource+i)
			} else {
				want = append(want, fmt.Sprint("r", i))
			}
		}
		l := c.ladder()
		if got := l.names[l.start.sources:]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %b missed: %v are left, want %v", missed, got, want)
		}
	}
}
