package ledger

import (
	"strings"
	"testing"

	"github.com/crossmount/crossmount/mount"
)

// TestLastTag: the tag of the last manifest goes through segments, unless it is
// none.
func TestLastTag(t *testing.T) {
	c := newClock()
	for _, tt := range []struct {
		tag  string
		kept bool
	}{
		{"v1.2_3-rc", true}, {"", true}, {strings.Repeat("x", 128), true},
		{strings.Repeat("x", 129), false}, {"a b", false}, {"é", false},
	} {
		l, again := Ledger{Now: c.now}, Ledger{Now: c.now}
		l.SetLast(host5000, "team/app", tt.tag, blob(1))
		e, _ := l.Export(host5000)
		again.Import(host5000, []Segment{{"s", e.Content}})
		if d, tag := again.Last(host5000, "team/app"); (d == blob(1)) != tt.kept || tt.kept && tag != tt.tag {
			t.Errorf("%q: read %s behind %q", tt.tag, d, tag)
		}
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
