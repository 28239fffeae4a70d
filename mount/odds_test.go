package mount

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestHostOdds: whatever was seen of a host makes probabilities.
func TestHostOdds(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	for range 2000 {
		h := randomTraits(r)
		o := hostOdds(h)
		sum := 0.0
		for _, p := range append(o.any[:], o.selves, o.mounts) {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("%+v: %+v", h, o)
			}
		}
		for _, p := range o.any {
			sum += p
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Fatalf("%+v: the answers to a mount without a source sum to %v", h, sum)
		}
	}
}

// TestTraitsMove: one observation of a trait outweighs what is believed of a
// host that nobody knows.
func TestTraitsMove(t *testing.T) {
	unknown := hostOdds(Traits{})
	if !unknown.opens || !unknown.heads {
		t.Errorf("a host that nobody knows: %+v", unknown)
	}
	for _, c := range []struct {
		trait Trait
		of    func(odds) float64
	}{
		{MountsFrom, func(o odds) float64 { return o.mounts }},
		{SelfMounts, func(o odds) float64 { return o.selves }},
		{Discovers, func(o odds) float64 { return o.any[anyEverywhere] }},
		{SeesTarget, func(o odds) float64 { return o.any[anyTarget] + o.any[anyEverywhere] }},
		{TakesAny, func(o odds) float64 { return 1 - o.any[anyRefuses] }},
		{MissOpens, func(o odds) float64 { return number(o.opens) }},
		{Heads, func(o odds) float64 { return number(o.heads) }},
	} {
		yes, no := c.of(hostOdds(Traits{}.See(c.trait, true))), c.of(hostOdds(Traits{}.See(c.trait, false)))
		if before := c.of(unknown); yes < 0.8 || no > 0.2 || yes < before || no > before {
			t.Errorf("%s: %v, %v once seen, %v once missed", c.trait, before, yes, no)
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// TestRememberedTarget: what is remembered of the target raises the belief that
// a blob is there, but proves nothing.
func TestRememberedTarget(t *testing.T) {
	blobs := imageOf(0, 0, 3, 1<<20)
	top := dig(2)
	for _, c := range []struct {
		name  string
		facts []Fact
		want  float64
	}{
		{"remembered", []Fact{At(top, "team/app", Remembered)}, Remembered.probability()},
		{"remembered, another tag", []Fact{Looked(TagOther), At(top, "team/app", Remembered)}, Remembered.probability()},
		{"no longer there", []Fact{At(top, "team/app", Confirmed), InTarget(top, Absent)}, 0},
		{"there", []Fact{At(top, "team/app", Listed), InTarget(top, Present)}, 1},
		{"no repository", []Fact{Looked(RepoAbsent), At(top, "team/app", Confirmed)}, inTarget(blobs, NewEvidence("team/app", Traits{}, Looked(RepoAbsent)))[2]},
		{"another repository", []Fact{At(top, "lib", Confirmed)}, inTarget(blobs, NewEvidence("team/app", Traits{}))[2]},
	} {
		e := NewEvidence("team/app", Traits{}, c.facts...)
		if got := inTarget(blobs, e)[2]; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if s := e.Presence(top) == Present; e.Stands(top) != s {
			t.Errorf("%s: stands %v", c.name, !s)
		}
	}
}
