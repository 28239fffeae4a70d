package mount

import (
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// model is evidence kept the plain way: every fact, read from the first to the
// last at each question.
type model struct {
	target string
	facts  []Fact
}

func (m model) presence(d digest.Digest) (presence Presence, stands bool) {
	placed := false
	for _, f := range m.facts {
		if f.Blob != d || f.Asked {
			continue
		}
		switch f.Presence {
		case Present, Absent:
			presence = f.Presence
			placed = placed && presence == Present
		case Placed:
			placed = true
		}
	}
	return presence, placed || presence == Present
}

func (m model) sources(d digest.Digest) map[string]Belief {
	out, lost := map[string]Belief{}, map[string]bool{m.target: true, "": true}
	for _, f := range m.facts {
		r := f.Source.Repository
		switch {
		case f.Doubted && f.Blob == "":
			lost[r] = true
		case f.Blob != d || f.Presence != Unproven || f.Asked:
		case f.Doubted:
			delete(out, r)
		default:
			out[r] = max(out[r], f.Source.Belief)
		}
	}
	for r := range lost {
		delete(out, r)
	}
	return out
}

// compare reports where e says something else than the model.
func (m model) compare(t *testing.T, e Evidence, blobs int) {
	t.Helper()
	for n := range blobs {
		d := dig(n)
		presence, stands := m.presence(d)
		if e.Presence(d) != presence || e.Stands(d) != stands {
			t.Fatalf("blob %d: %d, %v; want %d, %v; after %+v", n, e.Presence(d), e.Stands(d), presence, stands, m.facts)
		}
		want, got := m.sources(d), e.Sources(d)
		if len(got) != len(want) {
			t.Fatalf("blob %d: sources %v, want %v; after %+v", n, got, want, m.facts)
		}
		for i, s := range got {
			if b, ok := want[s.Repository]; !ok || b != s.Belief || i > 0 && got[i-1].Belief < b {
				t.Fatalf("blob %d: sources %v, want %v; after %+v", n, got, want, m.facts)
			}
		}
	}
}

// TestWithKeepsReceiver: two sets of facts grown from one do not see each
// other, wherever the facts are kept at that moment.
func TestWithKeepsReceiver(t *testing.T) {
	for n := range 3 * maxRecent {
		var facts []Fact
		e := NewEvidence("team/app", Traits{})
		for i := range n {
			f := At(dig(i%5), fmt.Sprint("r", i%7), Belief(1+i%4))
			if i%6 == 0 {
				f = Doubt(fmt.Sprint("x", i))
			}
			facts, e = append(facts, f), e.With(f)
		}
		before := model{"team/app", facts}
		grow := func(more ...Fact) model { return model{"team/app", append(slices.Clone(facts), more...)} }
		left := []Fact{InTarget(dig(0), Present), At(dig(1), "left", Listed), Doubt("r1")}
		right := []Fact{InTarget(dig(0), Absent), At(dig(1), "right", Confirmed), Doubt("r2")}
		a, b := e.With(left...), e.With(right...)
		c := a.With(see(Heads, false), Looked(TagOther))
		grow(left...).compare(t, a, 5)
		grow(right...).compare(t, b, 5)
		before.compare(t, e, 5)
		if a.Traits() != (Traits{}) || a.Standing() != Unlooked {
			t.Fatal("With changed its receiver")
		}
		if c.Traits().Of(Heads) != (Seen{No: 1}) || c.Standing() != TagOther {
			t.Fatalf("With forgot: %+v", c)
		}
	}
}

// TestFold: many facts at once say the same as one after the other.
func TestFold(t *testing.T) {
	var facts []Fact
	for i := range 10 * maxRecent {
		switch d := dig(i % 9); i % 4 {
		case 0:
			facts = append(facts, At(d, fmt.Sprint("r", i%13), Belief(i%5)))
		case 1:
			facts = append(facts, InTarget(d, Presence(i%3+1)))
		case 2:
			facts = append(facts, Fact{Blob: d, Doubted: true, Source: Source{Repository: fmt.Sprint("r", i%13)}})
		default:
			facts = append(facts, Fact{Blob: d, Asked: true})
		}
	}
	m := model{"team/app", facts}
	m.compare(t, NewEvidence("team/app", Traits{}, facts...), 9)
	e := NewEvidence("team/app", Traits{})
	for _, f := range facts {
		e = e.With(f)
		if len(e.recent) > maxRecent {
			t.Fatalf("%d facts are walked through at each look-up", len(e.recent))
		}
	}
	m.compare(t, e, 9)
}

func TestSources(t *testing.T) {
	e := NewEvidence("team/app/web", Traits{},
		At(dig(1), "zoo", Listed), At(dig(1), "lib/debian", Claimed), At(dig(1), "team/app/api", Claimed), At(dig(1), "team/base", Claimed),
		At(dig(1), "apple", Claimed), At(dig(1), "far", Confirmed), At(dig(1), "zoo", Remembered), At(dig(1), "zoo", Listed),
		At(dig(1), "team/app/web", Confirmed), At(dig(2), "other", Confirmed),
	)
	check := func(name string, e Evidence, want ...Source) {
		t.Helper()
		if got := e.Sources(dig(1)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	far, zoo, api := Source{"far", Confirmed}, Source{"zoo", Remembered}, Source{"team/app/api", Claimed}
	base, apple, debian := Source{"team/base", Claimed}, Source{"apple", Claimed}, Source{"lib/debian", Claimed}
	check("by belief, path and name", e, far, zoo, api, base, apple, debian)
	check("a repository of no use", e.With(Doubt("far"), Doubt("team/base")), zoo, api, apple, debian)
	gone := Fact{Blob: dig(1), Doubted: true, Source: Source{Repository: "zoo"}}
	check("it does not hold this blob", e.With(gone), far, api, base, apple, debian)
	check("and then it does", e.With(gone, At(dig(1), "zoo", Claimed)), far, api, base, apple, debian, Source{"zoo", Claimed})
	if got := e.With(gone).Sources(dig(2)); !slices.Equal(got, []Source{{"other", Confirmed}}) {
		t.Errorf("another blob: %v", got)
	}
	if e.Target() != "team/app/web" {
		t.Errorf("target %q", e.Target())
	}
}

func TestPresence(t *testing.T) {
	for _, c := range []struct {
		name     string
		facts    []Presence
		presence Presence
		stands   bool
	}{
		{"nothing", nil, Unproven, false},
		{"present", []Presence{Present}, Present, true},
		{"absent", []Presence{Absent}, Absent, false},
		{"placed", []Presence{Placed}, Unproven, true},
		{"placed where it was not", []Presence{Absent, Placed}, Absent, true},
		{"placed and then lost", []Presence{Placed, Absent}, Absent, false},
		{"found and then lost", []Presence{Present, Absent}, Absent, false},
		{"lost and then found", []Presence{Absent, Present}, Present, true},
	} {
		e := NewEvidence("team/app", Traits{})
		for _, p := range c.facts {
			e = e.With(InTarget(dig(1), p))
		}
		if e.Presence(dig(1)) != c.presence || e.Stands(dig(1)) != c.stands || e.Stands(dig(2)) {
			t.Errorf("%s: %d, %v", c.name, e.Presence(dig(1)), e.Stands(dig(1)))
		}
	}
}

func TestTraits(t *testing.T) {
	e := NewEvidence("team/app", Traits{}, see(Heads, true), see(Heads, false), see(Discovers, false), Fact{Limit: 30}, Fact{Limit: 20}, Fact{Limit: 25})
	h := e.Traits()
	if h.Of(Heads) != (Seen{1, 1}) || h.Of(Discovers) != (Seen{0, 1}) || h.Of(Trait(99)) != (Seen{}) || h.Of(-1) != (Seen{}) {
		t.Errorf("seen %+v", h)
	}
	if v, known := h.Known(Heads); !v || !known {
		t.Error("a trait that was seen as often as not is taken for true")
	}
	if v, known := h.Known(Discovers); v || !known {
		t.Error("a trait that was not seen is not known to be so")
	}
	if _, known := h.Known(SelfMounts); known {
		t.Error("a trait that nobody tried is known")
	}
	if h.PutLimit() != 20 {
		t.Errorf("limit %d, want the smallest", h.PutLimit())
	}
	if h.See(Trait(99), true) != h || h.See(0, true) != h {
		t.Error("a trait that does not exist was seen")
	}
	if e.WithTraits(Traits{}).Traits() != (Traits{}) || e.Traits() != h {
		t.Error("WithTraits")
	}
}
