package transport

import (
	"bytes"
	"io"
	"testing"
)

// The content for a part begins at its offset, however much of the parts before it
// was read, and those that still read them have content of their own.
func TestStreamTakes(t *testing.T) {
	const size = 300 << 10
	d, body := content(pattern(size))
	opened := 0
	counted := Body{body.Size, func() (io.ReadCloser, error) { opened++; return body.Open() }}
	s := &stream{digest: d, body: counted}
	defer s.close()
	if err := s.open(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		offset, read int64
		opened       int
	}{
		{0, 100 << 10, 1}, {100 << 10, 50 << 10, 1}, {200 << 10, 10 << 10, 2}, {200 << 10, 20 << 10, 3}, {220 << 10, 80 << 10, 3},
	} {
		c, err := s.take(t.Context(), tt.offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.LimitReader(c, tt.read))
		if want := pattern(size)[tt.offset : tt.offset+tt.read]; err != nil || !bytes.Equal(got, want) || opened != tt.opened {
			t.Errorf("at %d: %d bytes, %v; opened %d times, want %d", tt.offset, len(got), err, opened, tt.opened)
		}
	}
}
