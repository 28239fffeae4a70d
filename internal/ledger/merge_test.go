package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// pass exports what l has learned of a host and saves it to nowhere.
func pass(t *testing.T, l *Ledger) Export {
	t.Helper()
	e, ok := l.Export(host5000)
	if !ok {
		t.Fatal("nothing to export")
	}
	l.Saved(e)
	return e
}

// idle fails the test if there is anything to export.
func idle(t *testing.T, l *Ledger, when string) {
	t.Helper()
	if e, ok := l.Export(host5000); ok {
		t.Errorf("%s: there is something to save: %s", when, e.Content)
	}
}

func TestExportHoldsWhatIsNew(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	place := func(i int) { l.Record(host5000, "a", mount.InTarget(blob(i), mount.Placed)) }
	trait := func(v bool) { l.Record(host5000, "a", mount.Fact{Trait: mount.Heads, Value: v}) }
	limit := func(size int64) { l.Record(host5000, "a", mount.Fact{Limit: size}) }
	last := func(i int) { l.SetLast(host5000, "a", []string{"v1"}, blob(i)) }
	idle(t, &l, "at first")
	for _, tt := range []struct {
		name  string
		after time.Duration
		do    func()
		want  string // a part of the export; none when it is empty
	}{
		{"a place", 0, func() { place(1) }, blob(1).String()},
		{"the place again", time.Hour, func() { place(1) }, ""},
		{"another place", 0, func() { place(2) }, blob(2).String()},
		{"the first place much later", 4 * time.Hour, func() { place(1) }, blob(1).String()},
		{"a trait", 0, func() { trait(true) }, `"answers HEAD":{"yes":1,"no":0`},
		{"the trait again", 0, func() { trait(true) }, `"answers HEAD":{"yes":2,"no":0`},
		{"the trait twice", 0, func() { trait(true); trait(true) }, `"answers HEAD":{"yes":4,"no":0`},
		{"a trait that is well known", 0, func() { trait(true) }, ""},
		{"a trait that is well known, much later", traitExpiry / 3, func() { trait(true) }, `"answers HEAD":{"yes":4,"no":0`},
		{"a limit", 0, func() { limit(9 << 20) }, `"putLimit":{"size":9437184`},
		{"a higher limit", 0, func() { limit(10 << 20) }, ""},
		{"a limit that no host has", 0, func() { limit(10) }, ""},
		{"a manifest", 0, func() { last(3) }, blob(3).String()},
		{"the manifest again", time.Hour, func() { last(3) }, ""},
		{"another manifest", 0, func() { last(4) }, blob(4).String()},
		{"a doubt", 0, func() { l.Record(host5000, "a", mount.Doubt("b")) }, ""},
		{"a guess", 0, func() { l.Record(host5000, "a", mount.At(blob(9), "b", mount.Listed)) }, ""},
		{"on another host", 0, func() { l.Record("registry.example", "a", mount.InTarget(blob(8), mount.Placed)) }, ""},
	} {
		c.at = c.at.Add(tt.after)
		tt.do()
		if tt.want == "" {
			idle(t, &l, tt.name)
			continue
		}
		e := pass(t, &l)
		if !strings.Contains(string(e.Content), tt.want) || strings.Count(string(e.Content), "sha256:") > 1 {
			t.Errorf("%s: %s, want only %s", tt.name, e.Content, tt.want)
		}
		idle(t, &l, tt.name)
	}
}

// What could not be saved is in the next export.
func TestExportNotSaved(t *testing.T) {
	var l Ledger
	l.Record(host5000, "a", mount.InTarget(blob(1), mount.Placed))
	first, _ := l.Export(host5000)
	l.Record(host5000, "a", mount.InTarget(blob(2), mount.Placed))
	second, _ := l.Export(host5000)
	if !strings.Contains(string(second.Content), blob(1).String()) {
		t.Error("what was not saved is lost")
	}
	l.Saved(first)
	third, ok := l.Export(host5000)
	if !ok || strings.Contains(string(third.Content), blob(1).String()) || !strings.Contains(string(third.Content), blob(2).String()) {
		t.Errorf("after the first was saved: %s", third.Content)
	}
}

// Segments can be read in any order, again, and after each other was merged into
// a third: the same is known.
func TestImportAddsUp(t *testing.T) {
	c := newClock()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var segments []Segment
		newest := map[string]stamp{} // of digest and repository
		for i := range 1 + r.IntN(6) {
			at := c.at.Add(-time.Duration(r.IntN(20*3600)) * time.Second)
			l := Ledger{Now: func() time.Time { return at }}
			for range 1 + r.IntN(8) {
				at = at.Add(time.Millisecond)
				d, in := blob(r.IntN(3)), repo(r.IntN(maxKept))
				l.Record(host5000, in, mount.InTarget(d, mount.Placed), mount.Fact{Trait: mount.Heads, Value: r.IntN(2) > 0})
				l.SetLast(host5000, in, nil, d)
				newest[d.String()+in] = max(newest[d.String()+in], stampOf(at))
			}
			at = c.at
			if e, ok := l.Export(host5000); ok {
				segments = append(segments, Segment{fmt.Sprint(i), e.Content})
			}
		}
		want := Ledger{Now: c.now}
		want.Import(host5000, segments)
		for _, order := range [][]Segment{slices.Concat(segments, segments), reversed(segments), merged(t, c, segments)} {
			got := Ledger{Now: c.now}
			for _, s := range order {
				got.Import(host5000, []Segment{s})
			}
			same(t, round, &want, &got)
		}
		for i := range 3 {
			for j := range maxKept {
				alive := newest[blob(i).String()+repo(j)].alive(c.at, expiry)
				if known := slices.Contains(placesOf(&want, host5000, blob(i)), repo(j)); known != alive {
					t.Fatalf("round %d: blob %d in %s known: %v, want %v", round, i, repo(j), known, alive)
				}
			}
		}
	}
}

func reversed(s []Segment) []Segment {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// merged returns a segment that holds what the given ones hold, and after it the
// first of them.
func merged(t *testing.T, c *clock, segments []Segment) []Segment {
	t.Helper()
	l := Ledger{Now: c.now}
	l.Import(host5000, segments)
	h := l.host(host5000)
	h.wrong, h.changes = true, h.changes+1
	out := segments[:min(1, len(segments))]
	if e, ok := l.Export(host5000); ok {
		out = append([]Segment{{"merged", e.Content}}, out...)
	}
	return out
}

// same fails the test unless two ledgers know the same.
func same(t *testing.T, round int, want, got *Ledger) {
	t.Helper()
	for i := range 3 {
		if a, b := placesOf(want, host5000, blob(i)), placesOf(got, host5000, blob(i)); !slices.Equal(a, b) {
			t.Fatalf("round %d: blob %d in %q, want %q", round, i, b, a)
		}
		if a, b := lastOf(want, host5000, repo(i)), lastOf(got, host5000, repo(i)); a != b {
			t.Fatalf("round %d: last of %s is %s, want %s", round, repo(i), b, a)
		}
	}
	if a, b := want.Traits(host5000), got.Traits(host5000); a != b {
		t.Fatalf("round %d: traits %+v, want %+v", round, b, a)
	}
}

// Of traits, what was seen last wins, with what had been seen before it; old
// observations, however many, are overturned by a few.
func TestImportTraits(t *testing.T) {
	for _, tt := range []struct {
		name        string
		old         mount.Seen
		later, gone []bool // seen by a second process that knew the first, and by a third that knew both
		value       bool
		count       mount.Seen // as it is imported by a fourth
	}{
		{"seen once", mount.Seen{Yes: 1}, nil, nil, true, mount.Seen{Yes: 1}},
		{"seen often", mount.Seen{Yes: 1000}, nil, nil, true, mount.Seen{Yes: 4}},
		{"mixed", mount.Seen{Yes: 1000, No: 500}, nil, nil, true, mount.Seen{Yes: 4, No: 2}},
		{"nearly even", mount.Seen{Yes: 999, No: 1000}, nil, nil, false, mount.Seen{Yes: 3, No: 4}},
		{"confirmed", mount.Seen{Yes: 1}, []bool{true}, nil, true, mount.Seen{Yes: 2}},
		{"contradicted", mount.Seen{Yes: 1000}, []bool{false}, nil, true, mount.Seen{Yes: 4, No: 1}},
		{"overturned", mount.Seen{Yes: 1000}, []bool{false, false, false, false, false}, nil, false, mount.Seen{Yes: 3, No: 4}},
		{"overturned bit by bit", mount.Seen{No: 1000}, []bool{true, true}, []bool{true, true, true}, true, mount.Seen{Yes: 4, No: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			var kept []Segment
			push := func(seen ...bool) *Ledger {
				c.at = c.at.Add(time.Second)
				l := &Ledger{Now: c.now}
				l.Import(host5000, kept)
				for _, v := range seen {
					l.Record(host5000, "a", mount.Fact{Trait: mount.MountsFrom, Value: v})
				}
				if e, ok := l.Export(host5000); ok {
					kept = append(kept, Segment{fmt.Sprint(len(kept)), e.Content})
				}
				return l
			}
			push(append(slices.Repeat([]bool{true}, tt.old.Yes), slices.Repeat([]bool{false}, tt.old.No)...)...)
			push(tt.later...)
			push(tt.gone...)
			traits := push().Traits(host5000)
			if got := traits.Of(mount.MountsFrom); got != tt.count {
				t.Errorf("seen %+v, want %+v", got, tt.count)
			}
			if value, known := traits.Known(mount.MountsFrom); !known || value != tt.value {
				t.Errorf("known %v to be %v, want %v", known, value, tt.value)
			}
		})
	}
}

// A long-lived process that loads again takes over what is newer, and keeps
// what it knows better.
func TestImportIntoWhatIsKnown(t *testing.T) {
	c := newClock()
	other := Ledger{Now: c.now}
	other.Record(host5000, "a", mount.InTarget(blob(1), mount.Placed), mount.Fact{Trait: mount.Heads, Value: false}, mount.Fact{Limit: 5 << 20})
	other.SetLast(host5000, "a", []string{"v1"}, blob(5))
	old := pass(t, &other).Content
	c.at = c.at.Add(time.Minute)
	l := Ledger{Now: c.now}
	l.Record(host5000, "a", mount.InTarget(blob(1), mount.Placed), mount.InTarget(blob(2), mount.Placed), mount.Fact{Trait: mount.Heads, Value: true}, mount.Fact{Limit: 9 << 20})
	l.SetLast(host5000, "a", []string{"v1"}, blob(6))
	c.at = c.at.Add(time.Minute)
	other.Record(host5000, "b", mount.InTarget(blob(3), mount.Placed), mount.Fact{Trait: mount.Resumes, Value: true})
	other.SetLast(host5000, "b", []string{"v1"}, blob(7))
	l.Import(host5000, []Segment{{"old", old}, {"new", pass(t, &other).Content}})
	want := mount.Traits{}.See(mount.Heads, true).See(mount.Resumes, true).SeeLimit(5<<20, false)
	if got := l.Traits(host5000); got != want {
		t.Errorf("traits %+v, want %+v", got, want)
	}
	if a, b := lastOf(&l, host5000, "a"), lastOf(&l, host5000, "b"); a != blob(6) || b != blob(7) {
		t.Errorf("last %s and %s", a, b)
	}
	for i, in := range map[int]string{1: "a", 2: "a", 3: "b"} {
		if got := placesOf(&l, host5000, blob(i)); !slices.Equal(got, []string{in}) {
			t.Errorf("blob %d in %q, want %q", i, got, in)
		}
	}
	h := l.find(host5000)
	var order []digest.Digest
	for e := h.order.Front(); e != nil; e = e.Next() {
		order = append(order, e.Value.(*places).digest)
	}
	if !slices.Equal(order, blobs(2, 1, 3)) {
		t.Error("what was imported is not the first to be forgotten")
	}
}
