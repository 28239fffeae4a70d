package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// TestShared: how often a source is opened, and for how long the others are held
// back, by how the parties read. Alone, the fastest takes the time given as fast.
func TestShared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		reads  []reads
		opened int
		within time.Duration // how long the first reader takes at the most
	}{
		{"in step", 20_000, []reads{{party: 0, pause: ms}, {party: 1, pause: ms}, {party: 2, pause: ms}}, 1, 200 * ms},
		{"pieces of other sizes", 20_000, []reads{{party: 0, pause: ms}, {party: 1, piece: 7, pause: ms / 20}, {party: 2, piece: 5000, pause: ms}}, 1, 250 * ms},
		{"a little late", 20_000, []reads{{party: 0, pause: ms}, {party: 1, pause: ms, after: 150 * ms}}, 1, 350 * ms},
		{"too late", 20_000, []reads{{party: 0, pause: ms}, {party: 1, pause: ms, after: 250 * ms}}, 2, 400 * ms},
		{"small and late", 900, []reads{{party: 0, pause: ms}, {party: 1, pause: ms, after: time.Minute}, {party: 2, after: time.Hour}}, 1, 9 * ms},
		{"just small enough", 999, []reads{{party: 0}, {party: 1, after: time.Minute}}, 1, 0},
		{"just too large", 1000, []reads{{party: 0}, {party: 1, after: time.Minute}}, 2, 200 * ms},
		{"empty", 0, []reads{{party: 0}, {party: 1}, {party: 2, after: time.Minute}}, 1, 0},
		{"slower by a tenth", 100_000, []reads{{party: 0, pause: 10 * ms}, {party: 1, pause: 11 * ms}}, 1, 11_000 * ms},
		{"ten times as slow", 100_000, []reads{{party: 0, pause: ms}, {party: 1, pause: 10 * ms}}, 2, 2_200 * ms},
		{"two that are slow", 100_000, []reads{{party: 0, pause: ms}, {party: 1, pause: 10 * ms}, {party: 2, pause: 10 * ms}}, 3, 2_200 * ms},
		{"hangs", 20_000, []reads{{party: 0, pause: ms}, {party: 1, pause: ms, hang: 5000}}, 2, 1_201 * ms},
		{"hangs after an hour", 3_600_000, []reads{{party: 0, pause: 100 * ms}, {party: 1, pause: 100 * ms, hang: 3_000_000}}, 2, time.Hour + 1_100*ms},
		{"leaves", 20_000, []reads{{party: 0, pause: ms}, {party: 1, pause: ms, stop: 5000}, {party: 2, pause: ms}}, 1, 200 * ms},
		{"all leave", 20_000, []reads{{party: 0, stop: 5000}, {party: 1, stop: 5000}, {party: 2, stop: 5000}}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(tt.size)
				results := readAll(t, limits(), src, tt.reads...)
				for i, r := range results {
					if tt.reads[i].stop == 0 {
						whole(t, src, r)
					}
				}
				times(t, src, tt.opened)
				if results[0].took > tt.within {
					t.Errorf("the first took %v, more than %v", results[0].took, tt.within)
				}
				t.Logf("opened %d times; took %v, %v", src.opened, results[0].took, results[1].took)
			})
		})
	}
}

// TestWindow: what was read of the source is never further ahead of a party that
// has not been left behind than the window is large.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(50_000)
		g := NewGroup(limits(), []bool{true, true})
		slow, err := g.Open(t.Context(), 0, src.named("layer"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = reads{party: 1}.read(g, src) }()
		p := make([]byte, 100)
		for at := 0; at < 50_000; {
			synctest.Wait()
			if _, _, read := src.counts(); read > at+1000 {
				t.Fatalf("%d bytes were read while one is at %d", read, at)
			}
			n, err := slow.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
		times(t, src, 1)
		_ = slow.Close()
		g.Wait()
	})
}

// TestBreaks: a source that breaks is opened again by each reader, which goes on
// from where it was. One that cannot be opened is an error for the party that it
// was opened for; the others try by themselves.
func TestBreaks(t *testing.T) {
	for _, at := range []int{1, 999, 1000, 1001, 7777, 19_999} {
		synctest.Test(t, func(t *testing.T) {
			src := newSource(20_000)
			src.breaks = at
			whole(t, src, readAll(t, limits(), src, reads{party: 0}, reads{party: 1, piece: 333}, reads{party: 2, pause: ms})...)
			if opened, _, _ := src.counts(); opened > 4 {
				t.Errorf("the source was opened %d times", opened)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		src := newSource(20_000)
		src.opening, src.sealed = ms, 1
		results := readAll(t, limits(), src, reads{party: 0}, reads{party: 1, after: ms / 2})
		if !errors.Is(results[0].err, errBroken) {
			t.Errorf("error %v", results[0].err)
		}
		whole(t, src, results[1])
	})
}

// TestNeverEnds: an error that lasts reaches the reader.
func TestNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(20_000)
		src.breaks = 5000
		g := NewGroup(limits(), []bool{true, true})
		rc, err := g.Open(t.Context(), 0, Source{Key: "layer", Size: 20_000, Open: func() (io.ReadCloser, error) {
			if n, _, _ := src.counts(); n > 0 {
				return nil, errBroken
			}
			return src.open()
		}})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, rc); n != 5000 || !errors.Is(err, errBroken) {
			t.Errorf("%d bytes, error %v", n, err)
		}
		_ = rc.Close()
		g.Wait()
	})
}

// TestIdle: a source that gives nothing is given up.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(limits(), []bool{true, true})
		rc, err := g.Open(t.Context(), 0, Source{Key: "layer", Size: 10, Open: func() (io.ReadCloser, error) { return io.NopCloser(idle{}), nil }})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := rc.Read(make([]byte, 10)); n != 0 || err != nil { // from its own source, which is as idle
			t.Errorf("%d bytes, error %v", n, err)
		}
		_ = rc.Close()
		g.Wait()
	})
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// TestClose: closing ends a Read that waits for a source, and the last one to
// close ends the reading of the source.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(20_000)
		src.pause = time.Hour
		g := NewGroup(limits(), []bool{true, true})
		ended := make(chan error, 2)
		var all []io.Closer
		for party := range 2 {
			rc, err := g.Open(t.Context(), party, src.named("layer"))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, rc)
			go func() {
				_, err := rc.Read(make([]byte, 10))
				ended <- err
			}()
		}
		for i, rc := range all {
			synctest.Wait()
			_ = rc.Close()
			_ = rc.Close() // once more does no harm
			if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("reader %d: %v", i, err)
			}
			if _, closed, _ := src.counts(); closed != i {
				t.Errorf("closed %d times after %d readers have left", closed, i+1)
			}
		}
		g.Wait()
	})
}

// TestCancelled: the end of a context ends the wait for a source that is being
// opened, for its party alone.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(2000)
		src.opening = time.Minute
		g := NewGroup(limits(), []bool{true, true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			if _, err := g.Open(ctx, 0, src.named("layer")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}()
		synctest.Wait()
		content, err := reads{party: 1}.read(g, src)
		whole(t, src, result{content: content, err: err})
		times(t, src, 1)
		g.Wait()
	})
}

// TestLeave: nobody waits for a party that has left, or for one that was not
// expected.
func TestLeave(t *testing.T) {
	for name, leave := range map[string]func(g *Group){
		"one content":     func(g *Group) { g.Leave(1, "layer") },
		"all":             func(g *Group) { g.LeaveAll(1) },
		"while it is new": func(g *Group) { time.AfterFunc(ms, func() { g.Leave(1, "layer") }) },
		"all, meanwhile":  func(g *Group) { time.AfterFunc(ms, func() { g.LeaveAll(1) }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(20_000)
				g := NewGroup(limits(), []bool{true, true, false})
				leave(g)
				began := time.Now()
				content, err := reads{}.read(g, src)
				whole(t, src, result{content: content, err: err})
				if took := time.Since(began); took > ms {
					t.Errorf("took %v", took)
				}
				g.Wait()
			})
		})
	}
}

// TestKept: what is kept for those who have not come is bounded, and dropped once
// nobody can come.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(limits(), []bool{true, true})
		src := newSource(900)
		for i := range 4 {
			if _, err := (reads{}).readKey(g, src, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if g.kept != 2*901 {
			t.Errorf("%d bytes are kept", g.kept)
		}
		g.Leave(1, "0")
		if g.kept != 901 {
			t.Errorf("%d bytes are kept after the party has left one content", g.kept)
		}
		g.LeaveAll(1)
		if g.kept != 0 {
			t.Errorf("%d bytes are kept after the party has left all", g.kept)
		}
		g.Wait()
	})
}

// TestNil: a nil Group shares nothing.
func TestNil(t *testing.T) {
	var g *Group
	src := newSource(3000)
	g.Leave(0, "layer")
	g.LeaveAll(0)
	content, err := reads{}.read(g, src)
	whole(t, src, result{content: content, err: err})
	g.Wait()
}

func TestAccount(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var a account
	a.begin(at(1))
	a.begin(at(2)) // at the same time
	a.end(at(3))
	if got := a.left(at(4), 10*time.Second, 16*time.Second); got != 9*time.Second {
		t.Errorf("while it holds others back: %v", got)
	}
	a.end(at(5))
	a.begin(at(100))
	a.end(at(101))
	for atWork, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 8 * time.Second: 6 * time.Second} {
		if got := a.left(at(200), 10*time.Second, atWork); got != want {
			t.Errorf("after %v at work: %v, want %v", atWork, got, want)
		}
	}
}

// TestRandom: whatever the parties do, each that reads on gets the content.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			src := newSource(r.IntN(30_000))
			src.piece, src.pause = r.IntN(2000), time.Duration(r.IntN(3))*ms
			if r.IntN(3) == 0 {
				src.breaks = r.IntN(len(src.content) + 1)
			}
			all := make([]reads, 1+r.IntN(5))
			for i := range all {
				all[i] = reads{party: r.IntN(len(all)), piece: 1 + r.IntN(1500), after: time.Duration(r.IntN(300)) * ms, pause: time.Duration(r.IntN(3)) * ms}
				switch r.IntN(8) {
				case 0:
					all[i].stop = 1 + r.IntN(30_000)
				case 1:
					all[i].hang = 1 + r.IntN(30_000)
				}
			}
			broken := 0
			for i, got := range readAll(t, limits(), src, all...) {
				switch {
				case errors.Is(got.err, errBroken):
					broken++
				case got.err != nil || all[i].stop == 0 && len(got.content) != len(src.content):
					t.Errorf("seed %d, reader %d: %d bytes of %d, error %v", seed, i, len(got.content), len(src.content), got.err)
				}
			}
			if broken > 1 || broken == 1 && src.breaks == 0 { // the first reading may be that of a party alone
				t.Errorf("seed %d: %d readers have met the break", seed, broken)
			}
		})
	}
}
