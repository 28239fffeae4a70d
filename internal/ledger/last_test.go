package ledger

import (
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/mount"
)

// TestLastTags: the tags beside the last manifest go through segments, unless one
// of them is none.
func TestLastTags(t *testing.T) {
	c := newClock()
	for _, tt := range []struct {
		tags []string
		kept bool
	}{
		{nil, true}, {[]string{"v1.2_3-rc"}, true}, {[]string{"v1", "latest"}, true}, {[]string{strings.Repeat("x", 128)}, true},
		{[]string{strings.Repeat("x", 129)}, false}, {[]string{"v1", "a b"}, false}, {[]string{"é"}, false}, {[]string{""}, false},
	} {
		l, again := Ledger{Now: c.now}, Ledger{Now: c.now}
		l.SetLast(host5000, "team/app", tt.tags, blob(1))
		e, _ := l.Export(host5000)
		again.Import(host5000, []Segment{{"s", e.Content}})
		if d, tags := again.Last(host5000, "team/app"); (d == blob(1)) != tt.kept || tt.kept && !slices.Equal(tags, tt.tags) {
			t.Errorf("%q: read %s with %q", tt.tags, d, tags)
		}
	}
}

// TestLastTagsAreBounded: the newest tags are kept, each once.
func TestLastTagsAreBounded(t *testing.T) {
	var l Ledger
	for i := range 20 {
		l.SetLast(host5000, "a", []string{"latest", repo(i)[5:]}, blob(i))
	}
	l.SetLast(host5000, "a", nil, blob(20))
	l.SetLast(host5000, "a", []string{"app-17", "app-17"}, blob(20))
	d, tags := l.Last(host5000, "a")
	want := []string{"app-13", "app-14", "app-15", "app-16", "app-18", "latest", "app-19", "app-17"}
	if d != blob(20) || !slices.Equal(tags, want) {
		t.Errorf("%s with %q, want %q", d, tags, want)
	}
}

// TestRates: of what happens now and then, more observations are kept than of the
// ways of a host, and a new segment is not worth each of them.
func TestRates(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	exports := 0
	for range 200 {
		l.Record(host5000, "team/app", mount.Fact{Trait: mount.Strays}, mount.Fact{Trait: mount.Heads, Value: true})
		if e, ok := l.Export(host5000); ok {
			exports++
			l.Saved(e)
		}
	}
	l.Record(host5000, "team/app", mount.Fact{Trait: mount.Strays, Value: true})
	if exports > 16 {
		t.Errorf("%d exports", exports)
	}
	l.Import(host5000, nil) // as a load does, it bounds the counts
	if n := l.Traits(host5000).Of(mount.Strays); n != (mount.Seen{Yes: 0, No: 64}) {
		t.Errorf("strays %+v", n)
	}
	if n := l.Traits(host5000).Of(mount.Heads); n != (mount.Seen{Yes: 4}) {
		t.Errorf("heads %+v", n)
	}
}
