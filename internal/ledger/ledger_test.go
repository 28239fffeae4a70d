package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

func TestRecord(t *testing.T) {
	d := blob(0)
	asked := mount.Fact{Blob: d, Asked: true}
	for _, tt := range []struct {
		name  string
		facts []mount.Fact // of a push to "target"
		want  []string     // where d is remembered
	}{
		{"nothing", nil, nil},
		{"stood in the target", []mount.Fact{mount.InTarget(d, mount.Present)}, []string{"target"}},
		{"put into the target", []mount.Fact{mount.InTarget(d, mount.Placed)}, []string{"target"}},
		{"absent from the target", []mount.Fact{mount.InTarget(d, mount.Absent)}, nil},
		{"mounted", []mount.Fact{mount.InTarget(d, mount.Placed), mount.At(d, "base", mount.Confirmed)}, []string{"base", "target"}},
		{"guess", []mount.Fact{mount.At(d, "base", mount.Listed)}, nil},
		{"claim", []mount.Fact{mount.At(d, "base", mount.Claimed)}, nil},
		{"its own memory", []mount.Fact{mount.At(d, "base", mount.Remembered)}, nil},
		{"asked for", []mount.Fact{asked}, nil},
		{"looked", []mount.Fact{mount.Looked(mount.TagOther)}, nil},
		{"other blob", []mount.Fact{mount.InTarget(blob(1), mount.Placed)}, nil},
		{"twice", []mount.Fact{mount.InTarget(d, mount.Placed), mount.InTarget(d, mount.Present)}, []string{"target"}},
		{"placed, then absent", []mount.Fact{mount.InTarget(d, mount.Placed), mount.InTarget(d, mount.Absent)}, nil},
		{"absent, then placed", []mount.Fact{mount.InTarget(d, mount.Absent), mount.InTarget(d, mount.Placed)}, []string{"target"}},
		{"gone from a source", []mount.Fact{mount.At(d, "base", mount.Confirmed), mount.At(d, "other", mount.Confirmed), gone(d, "base")}, []string{"other"}},
		{"gone from where it never was", []mount.Fact{mount.At(d, "base", mount.Confirmed), gone(d, "other"), gone(blob(1), "base")}, []string{"base"}},
		{"absent from the target only", []mount.Fact{mount.At(d, "base", mount.Confirmed), mount.InTarget(d, mount.Absent)}, []string{"base"}},
		{"asked for what is known", []mount.Fact{mount.InTarget(d, mount.Placed), asked}, []string{"target"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l Ledger
			l.Record(host5000, "target", tt.facts...)
			if got := placesOf(&l, host5000, d); !slices.Equal(got, tt.want) {
				t.Errorf("remembered in %q, want %q", got, tt.want)
			}
			if h := l.find(host5000); len(h.blobs) != h.order.Len() {
				t.Errorf("%d blobs in the map, %d in the order", len(h.blobs), h.order.Len())
			}
		})
	}
}

// What is remembered orders tries and proves nothing: only the registry's own
// word in the same push may skip a blob.
func TestEvidenceProvesNothing(t *testing.T) {
	var l Ledger
	d := blob(0)
	l.Record(host5000, "target", mount.InTarget(d, mount.Placed), mount.At(d, "base", mount.Confirmed), mount.Looked(mount.TagOther))
	e := l.Evidence(host5000, "target", []digest.Digest{d})
	if e.Stands(d) || e.Presence(d) != mount.Unproven || e.Standing() != mount.Unlooked {
		t.Errorf("memory proves the target: stands %v, presence %d, standing %d", e.Stands(d), e.Presence(d), e.Standing())
	}
	believed(t, e, d, "target", mount.Remembered)
	believed(t, e, d, "base", mount.Remembered)
	if e.Target() != "target" {
		t.Errorf("target %q", e.Target())
	}
}

func TestEvidenceOfGivenBlobsOnly(t *testing.T) {
	var l Ledger
	l.Record(host5000, "base", mount.InTarget(blob(0), mount.Placed), mount.InTarget(blob(1), mount.Placed))
	e := l.Evidence(host5000, "target", []digest.Digest{blob(1), blob(2)})
	believed(t, e, blob(0), "base", mount.NoBelief)
	believed(t, e, blob(1), "base", mount.Remembered)
	believed(t, e, blob(2), "base", mount.NoBelief)
}

func TestExpiry(t *testing.T) {
	d := blob(0)
	for _, tt := range []struct {
		name  string
		after time.Duration
		again bool // seen anew when half of the time has passed
		want  bool
	}{
		{"at once", 0, false, true},
		{"just before", expiry - time.Nanosecond, false, true},
		{"just then", expiry, false, false},
		{"long after", 100 * expiry, false, false},
		{"seen anew", expiry, true, true},
		{"just before, since seen anew", expiry*3/2 - time.Nanosecond, true, true},
		{"just then, since seen anew", expiry * 3 / 2, true, false},
		{"a clock set back", -time.Hour, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			l := Ledger{Now: c.now}
			start := c.at
			see := func() { l.Record(host5000, "base", mount.InTarget(d, mount.Placed), mount.Doubt("private")) }
			see()
			if tt.again {
				c.at = start.Add(expiry / 2)
				see()
			}
			c.at = start.Add(tt.after)
			if got := placesOf(&l, host5000, d) != nil; got != tt.want {
				t.Errorf("place remembered: %v, want %v", got, tt.want)
			}
			if got := doubts(&l, host5000, "base", "private"); got != tt.want {
				t.Errorf("doubt remembered: %v, want %v", got, tt.want)
			}
		})
	}
}

// Each place of a blob has an age of its own.
func TestExpiryByPlace(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	d := blob(0)
	l.Record(host5000, "old", mount.InTarget(d, mount.Placed))
	c.at = c.at.Add(expiry / 2)
	l.Record(host5000, "new", mount.InTarget(d, mount.Placed))
	c.at = c.at.Add(expiry / 2)
	if got := placesOf(&l, host5000, d); !slices.Equal(got, []string{"new"}) {
		t.Errorf("remembered in %q, want only the new one", got)
	}
}

func TestDefaultClock(t *testing.T) {
	var l Ledger
	before := time.Now()
	l.Record(host5000, "target", mount.InTarget(blob(0), mount.Placed))
	at := l.find(host5000).blobs[blob(0)].Value.(*places).seen[0].at
	if at.Before(before) || at.After(time.Now()) {
		t.Errorf("recorded at %v, which is not now", at)
	}
}

// TestRecordAnswer: that a blob was not there says nothing of one that came since
// the question was sent.
func TestRecordAnswer(t *testing.T) {
	c := newClock()
	sent := c.at
	for _, late := range []mount.Fact{mount.InTarget(blob(1), mount.Absent), gone(blob(1), "team/app")} {
		l := Ledger{Now: c.now}
		c.at = sent.Add(time.Second)
		l.Record(host5000, "team/app", mount.InTarget(blob(1), mount.Placed))
		l.RecordAnswer(host5000, "team/app", sent, late)
		if len(placesOf(&l, host5000, blob(1))) != 1 {
			t.Errorf("%+v: forgotten", late)
		}
		l.RecordAnswer(host5000, "team/app", c.at.Add(time.Millisecond), late)
		if len(placesOf(&l, host5000, blob(1))) != 0 {
			t.Errorf("%+v: not forgotten", late)
		}
	}
}
