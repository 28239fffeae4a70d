package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// sealed returns a segment with the given facts, as JSON, under a checksum that
// fits.
func sealed(t testing.TB, version int, facts string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(facts))
	content, err := json.Marshal(envelope{version, hex.EncodeToString(sum[:]), json.RawMessage(facts)})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// written returns a segment with every kind of fact, seen at the given time.
func written(t testing.TB, at time.Time) []byte {
	t.Helper()
	l := Ledger{Now: func() time.Time { return at }}
	l.Record(host5000, "team/app", mount.InTarget(blob(1), mount.Placed), mount.At(blob(1), "base", mount.Confirmed),
		mount.InTarget(blob(2), mount.Present), mount.Fact{Trait: mount.Heads, Value: true}, mount.Fact{Trait: mount.Resumes},
		mount.Fact{Limit: 20 << 20}, mount.Fact{Limit: 100 << 20, Patch: true}, mount.Doubt("private"))
	l.SetLast(host5000, "team/app", []string{"v1"}, blob(3))
	e, ok := l.Export(host5000)
	if !ok {
		t.Fatal("nothing to export")
	}
	return e.Content
}

func TestRoundTrip(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	l.Import(host5000, []Segment{{"s", written(t, c.at)}})
	e := l.Evidence(host5000, "team/app", blobs(1, 2))
	believed(t, e, blob(1), "team/app", mount.Remembered)
	believed(t, e, blob(1), "base", mount.Remembered)
	believed(t, e, blob(2), "team/app", mount.Remembered)
	if got := lastOf(&l, host5000, "team/app"); got != blob(3) {
		t.Errorf("last manifest %s", got)
	}
	want := mount.Traits{}.See(mount.Heads, true).See(mount.Resumes, false).SeeLimit(20<<20, false)
	if got := l.Traits(host5000); got != want {
		t.Errorf("traits %+v, want %+v", got, want)
	}
	if doubts(&l, host5000, "team/app", "private") {
		t.Error("a doubt was kept")
	}
	if got := l.Traits(host5000).BodyLimit(); got != 0 {
		t.Errorf("the limit of a PATCH was kept: %d", got)
	}
	if _, ok := l.Export(host5000); ok {
		t.Error("what was imported is new")
	}
}

// No two traits have the same name in segments.
func TestTraitNames(t *testing.T) {
	named := map[string]mount.Trait{}
	for trait, name := range traitNames() {
		if other, ok := named[name]; ok || name == "" {
			t.Errorf("traits %d and %d are both called %q", trait, other, name)
		}
		named[name] = trait
	}
	if named["answers HEAD"] != mount.Heads || named["mounts from"] != mount.MountsFrom || len(named) < 8 {
		t.Errorf("%d traits: %v", len(named), named)
	}
}

// What is not whole is not used at all: any byte that was changed, cut off or
// added makes the segment corrupt.
func TestDecodeCorrupt(t *testing.T) {
	c := newClock()
	content := written(t, c.at)
	if f, err := decode(content, host5000, c.at); err != nil || f.empty() {
		t.Fatalf("the segment itself: %v, empty %v", err, f.empty())
	}
	for i := range content {
		if _, err := decode(content[:i], host5000, c.at); !errors.Is(err, errCorrupt) {
			t.Fatalf("cut after %d bytes: %v", i, err)
		}
		edited := bytes.Clone(content)
		edited[i] ^= 1
		f, err := decode(edited, host5000, c.at)
		var e envelope
		if json.Unmarshal(edited, &e) == nil && e.Version > version {
			if !errors.Is(err, errVersion) {
				t.Fatalf("another version: %v", err)
			}
			continue
		}
		if err == nil && len(f.places) != 3 || err != nil && !errors.Is(err, errCorrupt) {
			t.Fatalf("byte %d edited to %q: %v", i, edited[i], err)
		}
	}
}

func TestDecode(t *testing.T) {
	c := newClock()
	now := stampOf(c.at)
	d := blob(0)
	place := func(at stamp) string {
		return fmt.Sprintf(`{"host":%q,"repositories":["a"],"blobs":[{"digest":%q,"seen":[[0,%d]]}]}`, host5000, d, at)
	}
	trait := func(s string) string {
		return fmt.Sprintf(`{"host":%q,"traits":{%s}}`, host5000, s)
	}
	manifest := func(repository string, d digest.Digest, at stamp) string {
		return fmt.Sprintf(`{"host":%q,"manifests":[{"repository":%q,"digest":%q,"at":%d}]}`, host5000, repository, d, at)
	}
	limit := func(size int64) string {
		return fmt.Sprintf(`{"host":%q,"putLimit":{"size":%d,"at":%d}}`, host5000, size, now)
	}
	week := stamp(traitExpiry.Milliseconds())
	for _, tt := range []struct {
		name    string
		content []byte
		err     error
		empty   bool // of no use to anyone
		alive   int  // facts
	}{
		{"place", sealed(t, 1, place(now)), nil, false, 1},
		{"place about to expire", sealed(t, 1, place(now-stamp(expiry.Milliseconds())+1)), nil, false, 1},
		{"expired place", sealed(t, 1, place(now-stamp(expiry.Milliseconds()))), nil, true, 0},
		{"place from the future", sealed(t, 1, place(now+1)), nil, false, 0},
		{"place from before all time", sealed(t, 1, place(-1<<63)), nil, true, 0},
		{"place from after all time", sealed(t, 1, place(1<<63-1)), nil, false, 0},
		{"manifest", sealed(t, 1, manifest("a/b", d, now)), nil, false, 1},
		{"manifest about to expire", sealed(t, 1, manifest("a", d, now-week+1)), nil, false, 1},
		{"expired manifest", sealed(t, 1, manifest("a", d, now-week)), nil, true, 0},
		{"no digest", sealed(t, 1, manifest("a", "sha256:user:password", now)), nil, true, 0},
		{"no repository", sealed(t, 1, manifest("https://user:password@a", d, now)), nil, true, 0},
		{"trait", sealed(t, 1, trait(fmt.Sprintf(`"answers HEAD":{"yes":1,"at":%d}`, now))), nil, false, 1},
		{"trait about to expire", sealed(t, 1, trait(fmt.Sprintf(`"answers HEAD":{"no":1,"at":%d}`, now-week+1))), nil, false, 1},
		{"expired trait", sealed(t, 1, trait(fmt.Sprintf(`"answers HEAD":{"no":1,"at":%d}`, now-week))), nil, true, 0},
		{"trait never seen", sealed(t, 1, trait(fmt.Sprintf(`"answers HEAD":{"at":%d}`, now))), nil, true, 0},
		{"trait seen less than never", sealed(t, 1, trait(fmt.Sprintf(`"answers HEAD":{"yes":-1,"no":3,"at":%d}`, now))), nil, true, 0},
		{"unknown trait", sealed(t, 1, trait(fmt.Sprintf(`"flies":{"yes":1,"at":%d}`, now))), nil, true, 0},
		{"limit", sealed(t, 1, limit(minLimit)), nil, false, 1},
		{"limit that no host has", sealed(t, 1, limit(minLimit-1)), nil, true, 0},
		{"index out of range", sealed(t, 1, fmt.Sprintf(`{"host":%q,"repositories":["a"],"blobs":[{"digest":%q,"seen":[[1,%d],[-1,%d]]}]}`, host5000, d, now, now)), nil, true, 0},
		{"nothing", sealed(t, 1, fmt.Sprintf(`{"host":%q}`, host5000)), nil, true, 0},
		{"other host", sealed(t, 1, `{"host":"registry.example"}`), errCorrupt, true, 0},
		{"other port", sealed(t, 1, `{"host":"registry.example:5001"}`), errCorrupt, true, 0},
		{"other version", sealed(t, 2, place(now)), errVersion, true, 0},
		{"version before the first", sealed(t, 0, place(now)), errCorrupt, true, 0},
		{"wrong checksum", bytes.Replace(sealed(t, 1, place(now)), []byte(`"sha256":"`), []byte(`"sha256":"0`), 1), errCorrupt, true, 0},
		{"facts of another kind", sealed(t, 1, `[]`), errCorrupt, true, 0},
		{"no facts", sealed(t, 1, `null`), errCorrupt, true, 0},
		{"empty", nil, errCorrupt, true, 0},
		{"zeros", make([]byte, 4096), errCorrupt, true, 0},
		{"no JSON", []byte("hello"), errCorrupt, true, 0},
		{"too large", append(sealed(t, 1, place(now)), bytes.Repeat([]byte(" "), maxContent)...), errCorrupt, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := decode(tt.content, host5000, c.at)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			alive := len(f.places) + len(f.lasts) + len(f.traits)
			if f.limit.size > 0 {
				alive++
			}
			if alive != tt.alive || f.empty() != tt.empty {
				t.Errorf("%d facts, empty %v; want %d, %v", alive, f.empty(), tt.alive, tt.empty)
			}
		})
	}
}

// Content of a hostile size or shape costs a bounded amount of work and leaves a
// bounded ledger.
func TestDecodeHostile(t *testing.T) {
	c := newClock()
	now := stampOf(c.at)
	var names, places strings.Builder
	for i := 0; places.Len()+names.Len() < maxContent-4096; i++ {
		fmt.Fprintf(&names, `%q,`, fmt.Sprintf("r%d", i))
		fmt.Fprintf(&places, `[%d,%d],`, i, now)
	}
	repositories := fmt.Sprintf(`{"host":%q,"repositories":[%s"z"],"blobs":[{"digest":%q,"seen":[%s[0,0]]}]}`, host5000, names.String(), blob(0), places.String())
	if f, err := decode(sealed(t, 1, repositories), host5000, c.at); err != nil || len(f.places) != maxKept {
		t.Errorf("many repositories: %d places, %v", len(f.places), err)
	}
	for name, content := range map[string][]byte{
		"a gigabyte":           make([]byte, 1<<30),
		"deep":                 []byte(strings.Repeat("[", maxContent)),
		"deep facts":           sealed(t, 1, strings.Repeat("[", 5000)+strings.Repeat("]", 5000)),
		"many repositories":    sealed(t, 1, repositories),
		"many empty blobs":     sealed(t, 1, fmt.Sprintf(`{"host":%q,"blobs":[%s{}]}`, host5000, strings.Repeat("{},", maxContent/4))),
		"many empty sightings": sealed(t, 1, fmt.Sprintf(`{"host":%q,"blobs":[{"seen":[%s[]]}]}`, host5000, strings.Repeat("[],", maxContent/4))),
	} {
		t.Run(name, func(t *testing.T) {
			l := Ledger{Now: c.now}
			segments := make([]Segment, 1000)
			for i := range segments {
				segments[i] = Segment{fmt.Sprint(i), content}
			}
			l.Import(host5000, segments)
			h := l.find(host5000)
			if read := len(h.loaded) + len(h.spent); read > maxSegments || read*min(len(content), maxContent) > maxImport {
				t.Errorf("%d segments were read", read)
			}
			if len(h.blobs) > 1 {
				t.Errorf("%d blobs", len(h.blobs))
			}
			if got := placesOf(&l, host5000, blob(0)); len(got) > maxKept {
				t.Errorf("%d places", len(got))
			}
		})
	}
}

// FuzzDecode reads anything as the facts of a segment, under a checksum that
// fits. What it takes can be written and read again, and is the same then.
func FuzzDecode(f *testing.F) {
	c := newClock()
	var e envelope
	if err := json.Unmarshal(written(f, c.at), &e); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(e.Facts))
	f.Add([]byte(`{"host":"registry.example:5000","repositories":["a"],"blobs":[{"digest":"sha256:x","seen":[[0,1],[7]]}],"traits":{"answers HEAD":{}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if _, err := decode(content, host5000, c.at); err == nil {
			t.Fatal("content without a checksum was taken")
		}
		sum := sha256.Sum256(content)
		all := fmt.Appendf(nil, `{"version":1,"sha256":"%x","facts":%s}`, sum, content)
		read, err := decode(all, host5000, c.at)
		if err != nil {
			return
		}
		for _, p := range read.places {
			if p.digest.Validate() != nil || !nameable(p.repository) || !p.at.alive(c.at, expiry) {
				t.Errorf("place %+v", p)
			}
		}
		l := Ledger{Now: c.now}
		l.Import(host5000, []Segment{{"a", all}})
		h := l.host(host5000)
		h.changes, h.loaded["b"], h.wrong = h.changes+1, true, true // all is written
		e, ok := l.Export(host5000)
		if !ok {
			t.Fatal("what was read cannot be written")
		}
		again := Ledger{Now: c.now}
		again.Import(host5000, []Segment{{"c", e.Content}})
		if l.Traits(host5000) != again.Traits(host5000) {
			t.Errorf("traits %+v, written and read %+v", l.Traits(host5000), again.Traits(host5000))
		}
		for d := range h.blobs {
			if a, b := placesOf(&l, host5000, d), placesOf(&again, host5000, d); fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("%s in %q, written and read %q", d, a, b)
			}
		}
		for target := range h.lasts {
			if a, b := lastOf(&l, host5000, target), lastOf(&again, host5000, target); a != b {
				t.Errorf("last of %s is %s, written and read %s", target, a, b)
			}
		}
	})
}
