package fanout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// limits are those of the tests: a window of 1000 bytes.
func limits() Limits {
	return Limits{Window: 1000, Kept: 2500, Gather: 200 * time.Millisecond, Patience: time.Second, Alone: 2}
}

var errBroken = errors.New("the source is broken")

// source is content that can be opened, and what became of that.
type source struct {
	content []byte
	opening time.Duration // how long it takes to open it
	piece   int           // how much one Read gives at the most; 0 is without limit
	pause   time.Duration // before each Read
	breaks  int           // after how many bytes the first reading breaks; 0 for never
	sealed  int           // how many openings fail
	scarce  bool

	// mu guards the fields below.
	mu     sync.Mutex
	opened int
	closed int
	read   int // bytes, of all readings
}

func newSource(size int) *source {
	r := rand.New(rand.NewPCG(uint64(size), 1))
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	return &source{content: content}
}

func (s *source) open() (io.ReadCloser, error) {
	time.Sleep(s.opening)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	if s.opened <= s.sealed {
		return nil, errBroken
	}
	r := &reading{source: s, rest: s.content, done: make(chan struct{})}
	if s.opened == 1 && s.breaks > 0 {
		r.rest, r.end = s.content[:s.breaks], errBroken
	}
	return r, nil
}

// named returns the source as parties open it.
func (s *source) named(key string) Source {
	return Source{Key: key, Size: int64(len(s.content)), Open: s.open, Scarce: s.scarce}
}

// counts returns how often the source was opened and closed, and how many bytes
// were read.
func (s *source) counts() (opened, closed, read int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.closed, s.read
}

// reading is one reading of a source.
type reading struct {
	source *source
	rest   []byte
	end    error
	once   sync.Once
	done   chan struct{}
}

func (r *reading) Read(p []byte) (int, error) {
	select {
	case <-r.done:
		return 0, io.ErrClosedPipe
	case <-time.After(r.source.pause):
	}
	if len(r.rest) == 0 {
		if r.end != nil {
			return 0, r.end
		}
		return 0, io.EOF
	}
	if r.source.piece > 0 {
		p = p[:min(len(p), r.source.piece)]
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.source.mu.Lock()
	r.source.read += n
	r.source.mu.Unlock()
	return n, nil
}

func (r *reading) Close() error {
	r.once.Do(func() {
		close(r.done)
		r.source.mu.Lock()
		r.source.closed++
		r.source.mu.Unlock()
	})
	return nil
}

// reads is how one party reads.
type reads struct {
	party int
	after time.Duration // when it opens the content
	piece int           // how much it takes at a time; 0 is 100
	pause time.Duration // after each piece
	stop  int           // after how many bytes it closes the content; 0 for at the end
	hang  int           // after how many bytes it takes no more for an hour
}

// result is what a party has read.
type result struct {
	content []byte
	err     error
	took    time.Duration // since the start
}

// readAll lets parties read a source, and returns what they have read. All of
// them are expected.
func readAll(t *testing.T, l Limits, src *source, all ...reads) []result {
	t.Helper()
	most := 0
	for _, r := range all {
		most = max(most, r.party)
	}
	expected := make([]bool, most+1)
	for i := range expected {
		expected[i] = true
	}
	g := NewGroup(l, expected)
	results := make([]result, len(all))
	began := time.Now()
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			time.Sleep(r.after)
			results[i].content, results[i].err = r.read(g, src)
			results[i].took = time.Since(began)
		})
	}
	wg.Wait()
	for p := range expected {
		g.LeaveAll(p) // those that have not come
	}
	g.Wait()
	if opened, closed, _ := src.counts(); closed != opened-min(src.sealed, opened) {
		t.Errorf("opened %d times, %d of them in vain, and closed %d times", opened, src.sealed, closed)
	}
	if g.kept != 0 {
		t.Errorf("%d bytes are kept", g.kept)
	}
	for i, r := range results {
		if r.err == nil && !bytes.Equal(r.content, src.content[:len(r.content)]) {
			t.Errorf("reader %d got other bytes", i)
		}
	}
	return results
}

func (r reads) read(g *Group, src *source) ([]byte, error) { return r.readKey(g, src, "layer") }

func (r reads) readKey(g *Group, src *source, key string) ([]byte, error) {
	rc, err := g.Open(context.Background(), r.party, src.named(key))
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	if r.piece == 0 {
		r.piece = 100
	}
	var got []byte
	p := make([]byte, r.piece)
	for {
		n, err := rc.Read(p)
		got = append(got, p[:n]...)
		switch {
		case err == io.EOF:
			return got, nil
		case err != nil:
			return got, err
		case r.stop > 0 && len(got) >= r.stop:
			return got, nil
		case r.hang > 0 && len(got) >= r.hang:
			r.hang = 0
			time.Sleep(time.Hour)
		}
		time.Sleep(r.pause)
	}
}

// whole fails the test for each reader that has not read all.
func whole(t *testing.T, src *source, results ...result) {
	t.Helper()
	for i, r := range results {
		if r.err != nil || len(r.content) != len(src.content) {
			t.Errorf("reader %d: %d bytes of %d, error %v", i, len(r.content), len(src.content), r.err)
		}
	}
}

// times fails the test when the source was opened more or less often than n
// times.
func times(t *testing.T, src *source, n int) {
	t.Helper()
	if opened, _, _ := src.counts(); opened != n {
		t.Errorf("the source was opened %d times, want %d", opened, n)
	}
}
