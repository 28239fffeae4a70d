package push

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/inventory"
)

// one returns a list of one manifest of this push.
func one(t testing.TB, name string) *referrers {
	t.Helper()
	l := &referrers{}
	if err := l.add(inventory.Manifest{Digest: digest.FromString(name), MediaType: "application/vnd.example", Body: []byte(name)}); err != nil {
		t.Fatal(err)
	}
	return l
}

// FuzzParseReferrers: what can be read can be written, and has the same entries.
func FuzzParseReferrers(f *testing.F) {
	d := digest.FromString("a").String()
	for _, seed := range []string{
		`{"schemaVersion":2,"manifests":[{"digest":"` + d + `","x":1}],"annotations":{"a":"b"}}`,
		`{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":null}`,
		`{"mediaType":"text/plain","manifests":[]}`, `{"manifests":{}}`, `{"manifests":[1]}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := parseReferrers(body)
		if err != nil {
			if !errors.Is(err, errNoIndex) {
				t.Fatalf("error %v", err)
			}
			return
		}
		mine := one(t, "mine")
		l.merge(mine)
		if l.merge(mine) || !l.has(digest.FromString("mine")) {
			t.Fatal("merged twice")
		}
		out, err := l.body()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseReferrers(out)
		if err != nil || len(again.entries) != len(l.entries) || again.merge(l) || len(again.fields) < len(l.fields) {
			t.Fatalf("%s was read as %s: %v", out, body, err)
		}
	})
}

// TestDrop: nothing of this push is taken out.
func TestDrop(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	l, want := one(t, "a"), one(t, "a")
	l.entries = append(l.entries, referrer{digest: b})
	want.merge(l)
	if l.drop([]digest.Digest{a}, want) || !l.has(a) {
		t.Error("what this push brings was taken out")
	}
	if !l.drop([]digest.Digest{a, b}, want) || l.has(b) || want.has(b) || !want.has(a) {
		t.Error("what is gone was not taken out")
	}
}

func TestReferrersTag(t *testing.T) {
	long := digest.Digest(strings.Repeat("a", 40) + ":" + strings.Repeat("b", 80))
	for d, want := range map[digest.Digest]string{
		digest.FromString("a"):        "sha256-" + digest.FromString("a").Encoded(),
		digest.SHA512.FromString("a"): "sha512-" + digest.SHA512.FromString("a").Encoded()[:64],
		long:                          strings.Repeat("a", 32) + "-" + strings.Repeat("b", 64),
	} {
		if got := referrersTag(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

// TestSettling: the wait is longer than others may take, spread over more time in
// each round, and bounded.
func TestSettling(t *testing.T) {
	for _, c := range []struct {
		took   time.Duration
		round  int
		chance float64
		want   time.Duration
	}{
		{0, 0, 0, 50 * time.Millisecond},
		{0, 0, 1, 100 * time.Millisecond},
		{0, 2, 1, 250 * time.Millisecond},
		{200 * time.Millisecond, 0, 0, 400 * time.Millisecond},
		{200 * time.Millisecond, 1, 1, 1200 * time.Millisecond},
		{time.Hour, 0, 0, maxSettle},
		{time.Hour, referrersRounds, 1, 3 * maxSettle},
	} {
		if got := settling(c.took, c.round, c.chance); got != c.want {
			t.Errorf("settling(%v, %d, %v) = %v, want %v", c.took, c.round, c.chance, got, c.want)
		}
	}
}

// TestTurns: who waits is taken along, who is cancelled leaves, and one that fails
// leaves its work to the next.
func TestTurns(t *testing.T) {
	var turns turns
	ctx := context.Background()
	want, leave, err := turns.take(ctx, "k", one(t, "a"))
	if err != nil || len(want.entries) != 1 {
		t.Fatal(want, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := turns.take(cancelled, "k", one(t, "b")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	type turn struct {
		want  *referrers
		leave func(bool)
	}
	done := make(chan turn, 2)
	for _, name := range []string{"c", "d"} {
		q := turns.join("k", one(t, name)) // so that both wait for sure
		go func() {
			w, l, _ := turns.take(ctx, "k", one(t, name))
			turns.quit("k", q)
			done <- turn{w, l}
		}()
	}
	leave(false)
	first := <-done
	if first.want == nil || len(first.want.entries) != 4 {
		t.Fatalf("want %v, of a, b, c and d", first.want)
	}
	first.leave(true)
	if second := <-done; second.want != nil {
		t.Errorf("want %v, though another has added it", second.want)
	}
	if len(turns.queues) != 0 {
		t.Errorf("%d queues left", len(turns.queues))
	}
	other := slices.Clone(first.want.entries)
	if _, leave, err := turns.take(ctx, "k", &referrers{entries: other}); err != nil || leave == nil {
		t.Error("what was added before is forgotten with the queue")
	}
}
