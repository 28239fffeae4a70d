package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// doubts reports whether a push to target is told that source is of no use.
func doubts(l *Ledger, name, target, source string) bool {
	d := digest.FromString("any")
	e := l.Evidence(name, target, nil).With(mount.At(d, source, mount.Confirmed))
	return len(e.Sources(d)) == 0
}

// Whoever pushes to another target may have another credential: a source that
// one could not read is still tried by the others, and no place is forgotten.
func TestDoubtsAreOfOneTarget(t *testing.T) {
	var l Ledger
	d := blob(0)
	l.Record(host5000, "private", mount.InTarget(d, mount.Placed))
	l.Record(host5000, "team/a", mount.Doubt("private"))
	for _, tt := range []struct {
		name, target, source string
		want                 bool
	}{
		{host5000, "team/a", "private", true},
		{host5000, "team/a", "public", false},
		{host5000, "team/b", "private", false},
		{host5000, "private", "team/a", false},
		{"registry.example", "team/a", "private", false},
	} {
		if got := doubts(&l, tt.name, tt.target, tt.source); got != tt.want {
			t.Errorf("%s: a push to %s doubts %s: %v, want %v", tt.name, tt.target, tt.source, got, tt.want)
		}
	}
	if got := placesOf(&l, host5000, d); !slices.Equal(got, []string{"private"}) {
		t.Errorf("remembered in %q, want it in private still", got)
	}
	if e := l.Evidence(host5000, "team/a", []digest.Digest{d}); len(e.Sources(d)) != 0 {
		t.Errorf("a push to team/a would mount from %v", e.Sources(d))
	}
}

func TestHostsApartByPort(t *testing.T) {
	var l Ledger
	d := blob(0)
	hosts := []string{"registry.example", "registry.example:443", host5000, "other.example:5000", "[::1]:5000"}
	for i, name := range hosts {
		facts := []mount.Fact{mount.InTarget(d, mount.Placed)}
		for range i {
			facts = append(facts, mount.Fact{Trait: mount.Heads, Value: true})
		}
		l.Record(name, repo(i), facts...)
	}
	for i, name := range hosts {
		if got := placesOf(&l, name, d); !slices.Equal(got, []string{repo(i)}) {
			t.Errorf("%s: remembered in %q, want its own %s only", name, got, repo(i))
		}
		if got := l.Traits(name).Of(mount.Heads).Yes; got != i {
			t.Errorf("%s: trait seen %d times, want %d", name, got, i)
		}
	}
	l.Record(host5000, repo(2), mount.InTarget(d, mount.Absent))
	if placesOf(&l, host5000, d) != nil || placesOf(&l, "registry.example", d) == nil {
		t.Error("what one host lost is forgotten of another, or not of itself")
	}
}

// A question about a host does not make it known.
func TestUnknownHost(t *testing.T) {
	var l Ledger
	if got := l.Traits("never.example"); got != (mount.Traits{}) {
		t.Errorf("traits of an unknown host: %+v", got)
	}
	if got := placesOf(&l, "never.example", blob(0)); got != nil {
		t.Errorf("an unknown host holds a blob in %q", got)
	}
	if l.hosts != nil {
		t.Errorf("%d hosts after questions only", l.hosts.Len())
	}
}

func TestTraits(t *testing.T) {
	trait := func(t mount.Trait, value bool) mount.Fact { return mount.Fact{Trait: t, Value: value} }
	var l Ledger
	l.Record(host5000, "a", trait(mount.SelfMounts, true), trait(mount.Discovers, false))
	got := l.Record(host5000, "b", trait(mount.SelfMounts, true), trait(mount.SelfMounts, false))
	if seen := got.Of(mount.SelfMounts); seen != (mount.Seen{Yes: 2, No: 1}) {
		t.Errorf("self-mounts: %+v, want two yes and one no of both targets", seen)
	}
	if seen := got.Of(mount.Discovers); seen != (mount.Seen{No: 1}) {
		t.Errorf("discovers: %+v, want one no", seen)
	}
	if l.Traits(host5000) != got {
		t.Error("Record returned other traits than Traits does")
	}
	if e := l.Evidence(host5000, "c", nil); e.Traits() != got {
		t.Error("evidence has other traits than Traits returns")
	}
	if again := l.Record(host5000, "c"); again != got {
		t.Error("a record of nothing changed the traits")
	}
}

// The smallest body that was refused counts, for a PUT and a PATCH each.
func TestLimits(t *testing.T) {
	var l Ledger
	for _, limit := range []mount.Fact{{Limit: 900}, {Limit: 500}, {Limit: 700}, {Limit: 80, Patch: true}, {Limit: 90, Patch: true}} {
		l.Record(host5000, "a", limit)
	}
	if got := l.Traits(host5000); got.PutLimit() != 500 || got.BodyLimit() != 80 {
		t.Errorf("limits %d and %d, want 500 and 80", got.PutLimit(), got.BodyLimit())
	}
}

// Evidence does not change after it was taken, whatever is recorded later.
func TestEvidenceIsASnapshot(t *testing.T) {
	var l Ledger
	d, other := blob(0), blob(1)
	l.Record(host5000, "base", mount.InTarget(d, mount.Placed), mount.Fact{Trait: mount.Heads, Value: true}, mount.Doubt("x"))
	l.Record(host5000, "target", mount.Doubt("private"))
	asked := blobs(0, 1)
	e := l.Evidence(host5000, "target", asked)
	traits := l.Traits(host5000)

	asked[0] = other
	l.Record(host5000, "base", mount.InTarget(d, mount.Absent))
	l.Record(host5000, "target", mount.InTarget(other, mount.Placed), mount.InTarget(d, mount.Placed), mount.Doubt("late"),
		mount.Fact{Trait: mount.Heads, Value: false}, mount.Fact{Limit: 1})
	for i := range maxDoubts {
		l.Record(host5000, "target", mount.Doubt(repo(i)))
	}

	believed(t, e, d, "base", mount.Remembered)
	believed(t, e, d, "target", mount.NoBelief)
	believed(t, e, other, "target", mount.NoBelief)
	if e.Traits() != traits || traits.Of(mount.Heads) != (mount.Seen{Yes: 1}) || traits.PutLimit() != 0 {
		t.Errorf("traits of the evidence changed to %+v", e.Traits())
	}
	e = e.With(mount.At(other, "late", mount.Confirmed), mount.At(other, "private", mount.Confirmed))
	if got := e.Sources(other); len(got) != 1 || got[0].Repository != "late" {
		t.Errorf("sources %v: want the later doubt unknown, the earlier kept", got)
	}
	if now := l.Evidence(host5000, "target", []digest.Digest{d}); now.Belief(d, "base") != mount.NoBelief || now.Belief(d, "target") != mount.Remembered {
		t.Error("later evidence lacks what was recorded")
	}
}

// TestTraitsExpire: a trait that nothing has shown for a week is as before it was
// ever seen.
func TestTraitsExpire(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	l.Record("ghcr.io", "a", observed(mount.Phantoms, false), observed(mount.Phantoms, false), observed(mount.Heads, true))
	c.at = c.at.Add(traitExpiry - time.Second)
	l.Record("ghcr.io", "a", observed(mount.Heads, true))
	c.at = c.at.Add(time.Second)
	want := mount.Priors("ghcr.io").With(mount.Heads, mount.Seen{Yes: 2})
	if got := l.Traits("ghcr.io"); got != want {
		t.Errorf("traits %+v, want %+v", got, want)
	}
	if got := l.Evidence("ghcr.io", "a", nil).Traits(); got != want {
		t.Errorf("of evidence %+v, want %+v", got, want)
	}
}
