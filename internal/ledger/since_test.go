package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/crossmount/crossmount/mount"
)

// TestSince: only what this process has seen since a time counts, not what
// another one has kept, whenever that was.
func TestSince(t *testing.T) {
	c := newClock()
	l, other := Ledger{Now: c.now}, Ledger{Now: c.now}
	d := blob(1)
	place := func(l *Ledger, repository string) {
		c.at = c.at.Add(time.Second)
		l.Record(host5000, repository, mount.InTarget(d, mount.Placed))
	}
	place(&l, "early")
	began := c.at.Add(time.Millisecond)
	place(&other, "foreign")
	place(&other, "early")
	l.Import(host5000, []Segment{{"s", pass(t, &other).Content}})
	if got := placesOf(&l, host5000, d); !slices.Contains(got, "foreign") {
		t.Fatalf("known in %v", got)
	}
	if got := l.Since(host5000, d, began); got != nil {
		t.Errorf("nothing since then: %v", got)
	}
	place(&l, "late")
	if got := l.Since(host5000, d, began); !slices.Equal(got, []string{"late"}) {
		t.Errorf("since then: %v", got)
	}
	if got := l.Since("nowhere", d, began); got != nil {
		t.Errorf("of a host that is not known: %v", got)
	}
}
