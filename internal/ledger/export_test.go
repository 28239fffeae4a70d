package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crossmount/crossmount/mount"
)

// segmentOf returns a segment that says that a repository holds a blob.
func segmentOf(t *testing.T, c *clock, name string, i int, repository string) Segment {
	t.Helper()
	l := Ledger{Now: c.now}
	l.Record(host5000, repository, mount.InTarget(blob(i), mount.Placed))
	return Segment{name, pass(t, &l).Content}
}

// Above 16 segments, the next one holds all and replaces them.
func TestExportCompacts(t *testing.T) {
	c := newClock()
	for _, n := range []int{1, maxLoaded, maxLoaded + 1, 100, maxSegments + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l := Ledger{Now: c.now}
			var segments []Segment
			for i := range n {
				segments = append(segments, segmentOf(t, c, fmt.Sprintf("s%03d", i), i, "a"))
			}
			l.Import(host5000, segments)
			idle(t, &l, "nothing new")
			l.Record(host5000, "a", mount.InTarget(blob(1000), mount.Placed))
			e := pass(t, &l)
			held, replaced := 1, 0
			if n > maxLoaded {
				held, replaced = min(n, maxSegments)+1, min(n, maxSegments)
			}
			if got := strings.Count(string(e.Content), "sha256:"); got != held || len(e.Replaces) != replaced {
				t.Errorf("%d blobs, replaces %d segments; want %d, %d", got, len(e.Replaces), held, replaced)
			}
			l.Record(host5000, "a", mount.InTarget(blob(1001), mount.Placed))
			if e := pass(t, &l); len(e.Replaces) > 0 || strings.Count(string(e.Content), "sha256:") != 1 {
				t.Errorf("the next replaces %q: %s", e.Replaces, e.Content)
			}
		})
	}
}

// What is of no use to anyone is replaced at once; what another version may be
// able to read stays.
func TestExportReplacesWhatIsOfNoUse(t *testing.T) {
	c := newClock()
	expired := segmentOf(t, c, "expired", 1, "a")
	c.at = c.at.Add(expiry)
	l := Ledger{Now: c.now}
	good := segmentOf(t, c, "good", 2, "a")
	other := sealed(t, 7, `{}`)
	late := newClock()
	late.at = c.at.Add(time.Hour)
	l.Import(host5000, []Segment{
		expired, good, {"torn", good.Content[:50]}, {"version", other}, segmentOf(t, late, "future", 3, "a"),
		{"large", make([]byte, maxContent+1)},
	})
	idle(t, &l, "nothing new")
	l.Record(host5000, "a", mount.InTarget(blob(9), mount.Placed))
	if e := pass(t, &l); !slices.Equal(e.Replaces, []string{"expired", "large", "torn"}) {
		t.Errorf("replaces %q", e.Replaces)
	}
}

// What has turned out to be wrong is not left in any segment that was loaded.
func TestExportCorrects(t *testing.T) {
	c := newClock()
	remembered := func(t *testing.T) *Ledger {
		l := &Ledger{Now: c.now}
		before := Ledger{Now: c.now}
		before.Record(host5000, "a", mount.InTarget(blob(1), mount.Placed), mount.InTarget(blob(2), mount.Placed))
		before.SetLast(host5000, "a", []string{"v1"}, blob(3))
		l.Import(host5000, []Segment{{"s", pass(t, &before).Content}})
		return l
	}
	for name, forget := range map[string]func(l *Ledger){
		"absent":   func(l *Ledger) { l.Record(host5000, "a", mount.InTarget(blob(1), mount.Absent)) },
		"gone":     func(l *Ledger) { l.Record(host5000, "b", gone(blob(1), "a")) },
		"manifest": func(l *Ledger) { l.ForgetLast(host5000, "a", blob(3)) },
	} {
		t.Run(name, func(t *testing.T) {
			l := remembered(t)
			forget(l)
			e := pass(t, l)
			if !slices.Equal(e.Replaces, []string{"s"}) {
				t.Errorf("replaces %q", e.Replaces)
			}
			wrong := blob(1)
			if name == "manifest" {
				wrong = blob(3)
			}
			if s := string(e.Content); strings.Contains(s, wrong.String()) || !strings.Contains(s, blob(2).String()) {
				t.Errorf("it holds %s", s)
			}
			idle(t, l, "corrected")
		})
	}
	l := remembered(t)
	l.Record(host5000, "b", mount.InTarget(blob(1), mount.Absent))
	l.ForgetLast(host5000, "a", blob(4))
	idle(t, l, "nothing that was known is wrong")
}

// A process that has saved much loads again, and makes one segment of all; it
// knows its own segments and does not believe them again.
func TestStale(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	var kept []Segment
	for i := range maxLoaded + 1 {
		if l.Stale(host5000) {
			t.Fatalf("stale after %d segments", i)
		}
		l.Record(host5000, "a", mount.InTarget(blob(i), mount.Placed))
		kept = append(kept, Segment{fmt.Sprint("own", i), pass(t, &l).Content})
	}
	if !l.Stale(host5000) {
		t.Fatal("not stale")
	}
	l.Record(host5000, "a", mount.InTarget(blob(0), mount.Absent), mount.InTarget(blob(100), mount.Placed))
	l.Import(host5000, append(kept, segmentOf(t, c, "other", 200, "a")))
	e := pass(t, &l)
	if len(e.Replaces) != len(kept)+1 {
		t.Errorf("replaces %d segments of %d", len(e.Replaces), len(kept)+1)
	}
	if s := string(e.Content); strings.Contains(s, blob(0).String()) || strings.Count(s, "sha256:") != maxLoaded+2 || !strings.Contains(s, blob(200).String()) {
		t.Errorf("it holds %s", s)
	}
	if l.Stale(host5000) {
		t.Error("stale still")
	}
}

// What was saved and is wrong now is found again by loading.
func TestStaleWhenWrong(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	l.Record(host5000, "a", mount.InTarget(blob(1), mount.Placed))
	own := Segment{"own", pass(t, &l).Content}
	l.Record(host5000, "a", mount.InTarget(blob(1), mount.Absent))
	if !l.Stale(host5000) {
		t.Fatal("not stale")
	}
	l.Import(host5000, []Segment{own})
	if e := pass(t, &l); !slices.Equal(e.Replaces, []string{"own"}) || strings.Contains(string(e.Content), blob(1).String()) {
		t.Errorf("replaces %q: %s", e.Replaces, e.Content)
	}
	idle(t, &l, "corrected")
}

// A fact that was forgotten while it was being saved is wrong once it is saved.
func TestForgottenWhileSaved(t *testing.T) {
	var l Ledger
	l.Record(host5000, "a", mount.InTarget(blob(1), mount.Placed))
	e, _ := l.Export(host5000)
	l.Record(host5000, "a", mount.InTarget(blob(1), mount.Absent))
	l.Saved(e)
	if !l.Stale(host5000) {
		t.Error("the segment that was saved is not known to be wrong")
	}
}

// A ledger that knows much makes a segment that is read again: of bounded size, with what
// was seen last.
func TestExportBounded(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	long := strings.Repeat("long/", 40)
	const records = 10_000
	for i := range records {
		l.Record(host5000, long+repo(i%5000), mount.InTarget(blob(i), mount.Placed))
		if i%4 == 0 {
			c.at = c.at.Add(time.Millisecond)
			l.SetLast(host5000, long+repo(i), []string{"v1"}, blob(i))
		}
	}
	if n := len(l.find(host5000).lasts); n != maxLasts {
		t.Errorf("%d last manifests, want %d", n, maxLasts)
	}
	e := pass(t, &l)
	if len(e.Content) > maxContent || len(e.Content) < maxContent/2 {
		t.Errorf("%d bytes", len(e.Content))
	}
	again := Ledger{Now: c.now}
	again.Import(host5000, []Segment{{"s", e.Content}})
	n := len(again.find(host5000).blobs)
	t.Logf("%d bytes hold %d blobs and %d manifests", len(e.Content), n, len(again.find(host5000).lasts))
	if placesOf(&again, host5000, blob(records-1)) == nil || lastOf(&again, host5000, long+repo(records-4)) == "" || n < 1000 {
		t.Errorf("what was seen last is not among %d blobs", n)
	}
}

func TestLast(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	check := func(when string, want string) {
		t.Helper()
		if got := lastOf(&l, host5000, "a"); got.String() != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	check("at first", "")
	l.ForgetLast(host5000, "a", blob(1))
	l.SetLast(host5000, "a", []string{"v1"}, blob(1))
	l.SetLast("registry.example", "a", []string{"v1"}, blob(2))
	l.SetLast(host5000, "b", []string{"v1"}, blob(3))
	check("noted", blob(1).String())
	l.ForgetLast(host5000, "a", blob(2))
	check("another forgotten", blob(1).String())
	c.at = c.at.Add(traitExpiry - time.Millisecond)
	check("about to expire", blob(1).String())
	c.at = c.at.Add(time.Millisecond)
	check("expired", "")
	l.SetLast(host5000, "a", []string{"v1"}, blob(4))
	check("another", blob(4).String())
	l.ForgetLast(host5000, "a", blob(4))
	check("forgotten", "")
}
