package fanout

import (
	"io"
	"slices"
	"time"
)

// maxIdle is how often in a row a source may give nothing.
const maxIdle = 100

// stream is one reading of a source, and the last bytes of it. A goroutine reads
// the source as long as there is room; the readers take from the window. The mutex
// of the content guards all fields.
type stream struct {
	content  *content
	window   []byte        // a ring: the byte at position p is at p modulo its length
	head     int64         // how many bytes were read
	reserved int64         // up to where bytes may be written into the window at any moment
	readers  []*reader     // that take from the window
	src      io.ReadCloser // nil until it is open, and once it is closed
	begun    bool          // src was opened
	ended    bool          // it was read to its end
	failed   error         // why it could not be opened or read to its end
	over     bool          // nobody reads it any more
	kept     bool          // it counts among what is kept

	gather time.Time // since when the beginning holds others back; zero while it does not
	gone   bool      // the beginning is kept no longer for parties that have not come
}

func newStream(c *content, size int64) *stream {
	n := int64(c.group.limits.Window)
	if size >= 0 && size < n {
		n = size + 1 // so that a byte too many shows
	}
	return &stream{content: c, window: make([]byte, n)}
}

// run opens the source and reads it until it ends or nobody wants it any more.
func (s *stream) run(open Opener) {
	src, err := open()
	if !s.begin(src, err) {
		return
	}
	for idle := 0; ; {
		room := s.room()
		if room == nil {
			return
		}
		n, err := src.Read(room)
		if idle++; n > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if !s.took(n, err) {
			return
		}
	}
}

// begin takes the source that was opened. It returns whether to read it.
func (s *stream) begin(src io.ReadCloser, err error) bool {
	c := s.content
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notify()
	switch {
	case err != nil:
		s.fail(err)
		return false
	case s.over:
		_ = src.Close() // nothing was read
		return false
	}
	s.src, s.begun = src, true
	return true
}

// took notes what a read of the source has given. It returns whether to go on.
func (s *stream) took(n int, err error) bool {
	c := s.content
	c.mu.Lock()
	s.head += int64(n)
	switch {
	case err == io.EOF:
		s.ended = true
	case err != nil:
		s.fail(err)
	}
	src := s.src
	if err != nil {
		s.src = nil
	}
	c.notify()
	more := err == nil && !s.over
	c.mu.Unlock()
	if err != nil && src != nil {
		_ = src.Close() // it was read to its end, or has failed already
	}
	return more
}

// fail notes that the source is of no use. The caller holds mu.
func (s *stream) fail(err error) {
	s.failed = err
	s.unlink()
}

// unlink lets nobody join any more. The caller holds mu.
func (s *stream) unlink() {
	if s.content.stream == s {
		s.content.stream = nil
	}
}

// fromStart says whether the first byte is in the window, or will be. The caller
// holds mu.
func (s *stream) fromStart() bool { return s.reserved <= int64(len(s.window)) }

// add adds a reader at the first byte. The caller holds mu.
func (s *stream) add(party int, src Source) *reader {
	r := &reader{stream: s, party: party, src: src}
	s.readers = append(s.readers, r)
	return r
}

// remove takes a reader out. It returns the source if that is to be closed now.
// The caller holds mu.
func (s *stream) remove(r *reader) io.Closer {
	at := slices.Index(s.readers, r)
	if at < 0 {
		return nil
	}
	s.readers = slices.Delete(s.readers, at, at+1)
	s.content.notify()
	return s.settle()
}

// settle ends the stream when nobody reads it, and nobody who is to come could.
// It returns the source if that is to be closed now. The caller holds mu.
func (s *stream) settle() io.Closer {
	g := s.content.group
	if len(s.readers) > 0 || s.over {
		return nil
	}
	if s.ended && s.fromStart() && len(s.content.pending()) > 0 && (s.kept || g.keep(len(s.window))) {
		s.kept = true
		return nil
	}
	if s.kept {
		s.kept = false
		g.drop(len(s.window))
	}
	s.over = true
	s.unlink()
	if s.src == nil {
		return nil
	}
	src := s.src
	s.src = nil
	return src
}

// copy copies bytes from a position on. The caller holds mu.
func (s *stream) copy(p []byte, from int64) int {
	at := int(from % int64(len(s.window)))
	n := min(int(s.head-from), len(s.window)-at)
	return copy(p, s.window[at:at+n])
}
