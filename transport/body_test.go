package transport

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

var errDisk = errors.New("disk on fire")

// source is content that counts how often it is closed.
type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error {
	s.closed++
	return nil
}

// drain reads c to its end in steps, as net/http might, and returns what came
// out.
func drain(c *checkedBody, step int) ([]byte, error) {
	var out []byte
	p := make([]byte, step)
	for idle := 0; idle < 100; idle++ {
		n, err := c.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if n > 0 {
			idle = 0
		}
	}
	return out, io.ErrNoProgress
}

// passed opens content and reads it to its end. It returns what came out, and
// checks that the counts agree.
func passed(t *testing.T, size int64, src io.Reader, want digest.Digest, step int) ([]byte, error) {
	t.Helper()
	given := &source{Reader: src}
	c, err := newCheckedBody(t.Context(), Body{size, func() (io.ReadCloser, error) { return given, nil }}, want)
	if err != nil {
		if given.closed != 1 {
			t.Errorf("content of no use was closed %d times", given.closed)
		}
		return nil, err
	}
	got, err := drain(c, step)
	if sent, bad := c.result(); sent != int64(len(got)) || bad != err {
		t.Errorf("result %d, %v; want %d, %v", sent, bad, len(got), err)
	}
	if _, again := drain(c, step); again != err {
		t.Errorf("read again: %v; want %v", again, err)
	}
	first, second := c.Close(), c.Close()
	if first != nil || second != nil || given.closed != 1 {
		t.Errorf("source closed %d times", given.closed)
	}
	return got, err
}

// edges are sizes around what body.go counts with.
func edges() []int {
	return []int{
		0, 1, holdBack - 1, holdBack, holdBack + 1, 2*holdBack - 1, 2 * holdBack, 4096,
		readBuffer - holdBack, readBuffer - 1, readBuffer, readBuffer + 1,
		readBuffer + holdBack - 1, readBuffer + holdBack, readBuffer + holdBack + 1, 2*readBuffer + 3,
	}
}

// Right content comes out as it is, whatever its size, the reader's steps and
// the steps in which the source gives it.
func TestCheckedBodyRight(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"all at once":      func(r io.Reader) io.Reader { return r },
		"half":             iotest.HalfReader,
		"data with EOF":    iotest.DataErrReader,
		"odd":              func(r io.Reader) io.Reader { return &stepReader{r, 1021} },
		"empty in between": func(r io.Reader) io.Reader { return &stepReader{r, -4093} },
	}
	for _, size := range edges() {
		want := pattern(size)
		for name, wrap := range readers {
			for _, step := range []int{1, holdBack + 1, 1 << 20} {
				if step == 1 && size > 8192 {
					continue // slow, and no other path
				}
				got, err := passed(t, int64(size), wrap(bytes.NewReader(want)), digest.FromBytes(want), step)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes %s in steps of %d: %d bytes, %v", size, name, step, len(got), err)
				}
			}
		}
	}
}

// stepReader gives at most step bytes at once; a negative step gives nothing
// every other time.
type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) {
	if s.step < 0 {
		s.step = -s.step
		return 0, nil
	}
	n, err := s.r.Read(p[:min(len(p), s.step)])
	if s.step == 4093 {
		s.step = -s.step
	}
	return n, err
}

// Of wrong content the last holdBack bytes never come out.
func TestCheckedBodyWrong(t *testing.T) {
	flip := func(at int) func([]byte) io.Reader {
		return func(b []byte) io.Reader {
			b = slices.Clone(b)
			b[at*(len(b)-1)/2] ^= 1
			return bytes.NewReader(b)
		}
	}
	wrongs := map[string]func([]byte) io.Reader{
		"first byte":  flip(0),
		"middle byte": flip(1),
		"last byte":   flip(2),
		"short":       func(b []byte) io.Reader { return bytes.NewReader(b[:len(b)-1]) },
		"empty":       func([]byte) io.Reader { return bytes.NewReader(nil) },
		"long":        func(b []byte) io.Reader { return bytes.NewReader(append(slices.Clone(b), 0)) },
		"endless":     func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b), endless{}) },
		"error at the end": func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errDisk))
		},
		"error in the middle": func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(errDisk))
		},
		"error with data": func(b []byte) io.Reader { return &lastGasp{b} },
	}
	for _, size := range edges()[1:] {
		right := pattern(size)
		for name, wrong := range wrongs {
			for _, step := range []int{1000, 1 << 20} {
				got, err := passed(t, int64(size), wrong(right), digest.FromBytes(right), step)
				if !errors.Is(err, ErrContent) {
					t.Errorf("%s of %d bytes in steps of %d: %v; want ErrContent", name, size, step, err)
				}
				if len(got) > max(0, size-holdBack) {
					t.Errorf("%s of %d bytes in steps of %d: %d bytes came out", name, size, step, len(got))
				}
			}
		}
	}
}

// idle gives nothing and no error.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// endless gives zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// lastGasp gives all and an error at once.
type lastGasp struct{ b []byte }

func (l *lastGasp) Read(p []byte) (int, error) {
	n := copy(p, l.b)
	l.b = l.b[n:]
	if len(l.b) == 0 {
		return n, errDisk
	}
	return n, nil
}

// The error says what was wrong.
func TestCheckedBodyErrors(t *testing.T) {
	right := []byte("abc")
	d := digest.FromBytes(right)
	tests := []struct {
		name string
		size int64
		src  io.Reader
		want string
		is   error
	}{
		{"digest", 3, bytes.NewReader([]byte("abd")), "it is " + digest.FromString("abd").String() + ", not " + d.String(), nil},
		{"short", 3, bytes.NewReader([]byte("ab")), "2 bytes of the 3 of " + d.String(), nil},
		{"long", 3, bytes.NewReader([]byte("abcd")), "more than the 3 bytes of " + d.String(), nil},
		{"negative size", -1, bytes.NewReader(right), "more than the -1 bytes of " + d.String(), nil},
		{"nothing for ever", 3, idle{}, "read: " + io.ErrNoProgress.Error(), io.ErrNoProgress},
		{"read", 3, iotest.ErrReader(errDisk), "read: disk on fire", errDisk},
	}
	for _, tt := range tests {
		_, err := passed(t, tt.size, tt.src, d, 10)
		if want := ErrContent.Error() + ": " + tt.want; err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", tt.name, err, want)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v does not match its cause", tt.name, err)
		}
	}
	if _, err := newCheckedBody(t.Context(), Body{3, func() (io.ReadCloser, error) { return nil, errDisk }}, d); !errors.Is(err, ErrContent) || !errors.Is(err, errDisk) {
		t.Errorf("open: %v", err)
	}
	for _, bad := range []digest.Digest{"", "sha256", "sha256:", "md5:900150983cd24fb0d6963f7d28e17f72", "sha256:abc"} {
		opened := false
		_, err := newCheckedBody(t.Context(), Body{3, func() (io.ReadCloser, error) { opened = true; return nil, errDisk }}, bad)
		if !errors.Is(err, ErrContent) || opened {
			t.Errorf("digest %q: %v, opened %v", bad, err, opened)
		}
	}
}

// Every algorithm that a digest may name is checked.
func TestCheckedBodyAlgorithms(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		right := pattern(3000)
		for _, good := range []bool{true, false} {
			given := slices.Clone(right)
			if !good {
				given[2999] ^= 1
			}
			got, err := passed(t, 3000, bytes.NewReader(given), algorithm.FromBytes(right), 100)
			if good != (err == nil) || good != bytes.Equal(got, right) || !good && len(got) > 3000-holdBack {
				t.Errorf("%s, right %v: %d bytes, %v", algorithm, good, len(got), err)
			}
		}
	}
}

// A body that is closed gives nothing more.
func TestCheckedBodyClosed(t *testing.T) {
	d, body := content(pattern(100 << 10))
	c, err := newCheckedBody(t.Context(), body, d)
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 1000))
	if n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1000)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %d, %v", n, err)
	}
	if sent, bad := c.result(); sent != 1000 || bad != nil {
		t.Errorf("result %d, %v", sent, bad)
	}
}

// The memory that content takes does not depend on its size.
func TestCheckedBodyMemory(t *testing.T) {
	const size = 64 << 20
	zeros := func() io.Reader { return io.LimitReader(endless{}, size) }
	d, err := digest.FromReader(zeros())
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	buf := make([]byte, 32<<10)
	runtime.ReadMemStats(&before)
	c, err := newCheckedBody(t.Context(), Body{size, func() (io.ReadCloser, error) { return io.NopCloser(zeros()), nil }}, d)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, buf)
	runtime.ReadMemStats(&after)
	if n != size || err != nil {
		t.Fatal(n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4*readBuffer {
		t.Errorf("%d bytes of memory for %d of content", used, size)
	}
	c, err = newCheckedBody(t.Context(), Body{1 << 40, func() (io.ReadCloser, error) { return io.NopCloser(endless{}), nil }}, d)
	if err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() { _, err = c.Read(buf) }); allocs != 0 || err != nil {
		t.Errorf("%v allocations a read, %v", allocs, err)
	}
}

// Whatever the content, the size that was stated, and the steps: either all of
// it is right and comes out, or its end stays in.
func FuzzCheckedBody(f *testing.F) {
	f.Add([]byte("content"), uint8(1), int16(0), uint32(0), uint8(0), uint16(1), uint16(1))
	f.Add([]byte("content"), uint8(200), int16(0), uint32(7), uint8(1), uint16(511), uint16(4096))
	f.Add([]byte("0123456789abcdef0123456789abcdef"), uint8(255), int16(-1), uint32(0), uint8(0), uint16(512), uint16(33))
	f.Add([]byte(""), uint8(1), int16(1), uint32(0), uint8(0), uint16(9), uint16(9))
	f.Fuzz(func(t *testing.T, seed []byte, times uint8, wrong int16, at uint32, mask uint8, step, chunk uint16) {
		right := bytes.Repeat(seed, int(times))
		given := slices.Clone(right)
		if len(given) > 0 {
			given[int(at)%len(given)] ^= mask
		}
		size := int64(len(given)) + int64(wrong)
		src := &stepReader{bytes.NewReader(given), int(chunk) + 1}
		got, err := passed(t, size, src, digest.FromBytes(right), int(step)+1)
		if !bytes.Equal(got, given[:len(got)]) {
			t.Fatal("other bytes came out than went in")
		}
		if size == int64(len(right)) && bytes.Equal(given, right) {
			if err != nil || len(got) != len(right) {
				t.Fatalf("right content: %d of %d bytes, %v", len(got), len(right), err)
			}
			return
		}
		if !errors.Is(err, ErrContent) {
			t.Fatalf("wrong content: %v", err)
		}
		if most := max(0, min(size, int64(len(given)))-holdBack); int64(len(got)) > most {
			t.Fatalf("wrong content: %d of %d bytes came out", len(got), size)
		}
	})
}
