package mount

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestCostIf: the cost of a ladder is that in the worlds where the target holds
// the blob and that in the others, each as often as it is so.
func TestCostIf(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for range 5000 {
		o := randomOdds(r, r.IntN(4))
		s := Step{Blob: Blob{Size: int64(r.IntN(1 << 24))}, odds: o, policy: DefaultPolicy()}
		for range o.sources {
			s.named = append(s.named, Source{Repository: string(rune('a' + len(s.named)))})
		}
		l := s.ladder(nil)
		want, held, absent := l.best(l.start).cost, l.costIf(1), l.costIf(0)
		if got := o.inTarget*held + (1-o.inTarget)*absent; math.Abs(got-want) > 1e-9*want {
			t.Fatalf("%+v: %v, of %v and %v, want %v", o, got, held, absent, want)
		}
		if want != s.Cost() || held != s.costIfHeld() {
			t.Fatalf("%+v: cost %v, %v if it is held; want %v and %v", o, s.Cost(), s.costIfHeld(), want, held)
		}
	}
}

// TestDigestGain: what stands by its digest costs little to find blob by blob,
// and cannot stand without one of its blobs.
func TestDigestGain(t *testing.T) {
	blobs := imageOf(0, 0, 9, 100<<20)
	gain := func(facts ...Fact) float64 {
		return NewPlan(blobs, NewEvidence("team/app", Traits{}, facts...), Policy{}).digestGain()
	}
	if g := gain(Looked(TagAbsent)); g <= 0 || g > float64(2*len(blobs)) {
		t.Errorf("the look at the digest saves %v round trips of %d blobs that are asked for anyhow", g, len(blobs))
	}
	if g := gain(Looked(TagAbsent), InTarget(dig(0), Absent)); g != 0 {
		t.Errorf("a blob is absent, and the look at the digest saves %v", g)
	}
	if g, other := gain(Looked(TagAbsent), InTarget(dig(0), Present)), gain(Looked(TagOther), InTarget(dig(0), Present)); g <= other {
		t.Errorf("the look at the digest saves %v after the tag was absent, %v after it named another image", g, other)
	}
	if g := gain(Looked(TagAbsent), Fact{DigestAsked: true}); g != 0 {
		t.Errorf("the digest was asked for, and another look saves %v", g)
	}
}

// TestMissesOfSource: a repository that did not hold one blob that was
// remembered there is less likely to hold the others.
func TestMissesOfSource(t *testing.T) {
	gone := func(n int, repository string) Fact {
		return Fact{Blob: dig(n), Doubted: true, Source: Source{Repository: repository}}
	}
	facts := []Fact{At(dig(0), "old", Remembered), At(dig(1), "old", Remembered), At(dig(1), "said", Claimed), At(dig(1), "maybe", Listed), At(dig(1), "sure", Confirmed)}
	for _, c := range []struct {
		facts []Fact
		want  []string
	}{
		{nil, []string{"sure", "old", "said", "maybe"}},
		{[]Fact{gone(0, "old")}, []string{"sure", "said", "old", "maybe"}},
		{[]Fact{gone(0, "old"), gone(2, "old"), gone(3, "old"), gone(0, "said")}, []string{"sure", "said", "maybe", "old"}},
		{[]Fact{gone(0, "sure"), gone(2, "sure"), gone(0, "maybe")}, []string{"sure", "old", "said", "maybe"}},
	} {
		e := NewEvidence("team/app", Traits{}, facts...)
		before := e.With(c.facts...)
		one, two := before.With(gone(4, "x")), before.With(gone(4, "y"))
		if one.misses("x") != 1 || two.misses("y") != 1 || before.misses("x") != 0 {
			t.Errorf("after %v: %d and %d misses, want one each", c.facts, one.misses("x"), two.misses("y"))
		}
		s := NewPlan([]Blob{{Digest: dig(1), Size: 1 << 20}}, before, Policy{}).Steps[0]
		last := 1.0
		for i, want := range c.want {
			if s.named[i].Repository != want || s.odds.sources[i] > last {
				t.Errorf("after %v: source %d is %v with %v, want %s", c.facts, i, s.named[i], s.odds.sources[i], want)
			}
			last = s.odds.sources[i]
		}
		if e.misses("old") != 0 {
			t.Error("more facts have changed what they were added to")
		}
	}
}

// TestNeverMounted: a second miss of what is remembered of a repository shows
// that the host does not mount, unless it has mounted something before.
func TestNeverMounted(t *testing.T) {
	miss := []Outcome{tried(Mount, "old", session())}
	for _, c := range []struct {
		name   string
		belief Belief
		before []Fact
		want   Seen
	}{
		{"the first miss", Remembered, nil, Seen{}},
		{"the second", Remembered, []Fact{{Blob: dig(0), Doubted: true, Source: Source{Repository: "old"}}}, Seen{No: 1}},
		{"the first of this source", Remembered, []Fact{{Blob: dig(0), Doubted: true, Source: Source{Repository: "other"}}}, Seen{}},
		{"on a host that mounts", Remembered, []Fact{see(MountsFrom, true), {Blob: dig(0), Doubted: true, Source: Source{Repository: "old"}}}, Seen{Yes: 1}},
		{"of a claim", Claimed, []Fact{{Blob: dig(0), Doubted: true, Source: Source{Repository: "old"}}}, Seen{}},
	} {
		e := NewEvidence("team/app", Traits{}, At(dig(1), "old", c.belief)).With(c.before...)
		if got := e.With(Learn(Blob{Digest: dig(1)}, e, miss)...).Traits().Of(MountsFrom); got != c.want {
			t.Errorf("%s: mounts seen %+v, want %+v", c.name, got, c.want)
		}
	}
}
