// Package memory keeps what is remembered of registry hosts on disk, for the
// processes to come and for those that run beside this one.
//
// Each host has a folder, and what is remembered of it is in segments: files
// that are written once, under a name that nobody else uses, and never changed.
// A segment is written to a temporary file and renamed, so that it is there as a
// whole or not at all. There is no lock: whoever is killed leaves nothing that
// another waits for.
package memory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The bounds of what is kept of one host. What goes beyond them is dropped,
// oldest first.
const (
	maxSegments = 256
	maxBytes    = 8 << 20
	// maxEntries bounds how many names of a folder are looked at at once.
	maxEntries = 4096
	// maxAge is how old a temporary file gets before it is taken for that of a
	// process which is gone.
	maxAge = time.Hour
)

// Segment is a part of what is remembered of a host.
type Segment struct {
	Name    string
	Content []byte
}

// Store keeps segments in the folders below a folder. It may be used by many
// goroutines and by many processes at once.
type Store struct {
	root string
}

// New returns the store below a folder, which is made when something is saved.
func New(root string) *Store { return &Store{root: root} }

// Load returns the segments that are kept of a host, newest first: at most 256,
// and together at most 8 MiB. A host of which nothing is kept has none. A segment
// that cannot be read is left out; the error says that the folder cannot.
func (s *Store) Load(ctx context.Context, host string) ([]Segment, error) {
	folder, err := s.folder(host)
	if err != nil {
		return nil, err
	}
	l := loading{folder: folder, known: map[string]bool{}, left: maxBytes}
	for range maxLists {
		err := l.list(ctx)
		if err != nil || !l.missed {
			return l.segments, err
		}
	}
	return l.segments, nil
}

// maxLists bounds how often a folder is listed for one Load.
const maxLists = 4

// loading is one Load under way.
type loading struct {
	folder   string
	segments []Segment
	known    map[string]bool // names of segments that were read or left out
	left     int64           // bytes that may still be read
	missed   bool            // a segment was replaced after it was listed
}

// list reads the segments of the folder that are not known yet. One that was
// replaced in the meantime is contained in one that came later, so that the
// folder has to be listed again.
func (l *loading) list(ctx context.Context) error {
	d, err := listing(l.folder)
	if err != nil {
		return err
	}
	l.missed = d.missed
	for _, f := range d.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(l.segments) >= maxSegments {
			return nil
		}
		if l.known[f.name] || f.size > l.left {
			continue
		}
		content, err := read(filepath.Join(l.folder, f.name), l.left)
		if errors.Is(err, fs.ErrNotExist) {
			l.missed = true
			continue
		}
		l.known[f.name] = true
		if err != nil {
			continue
		}
		l.left -= int64(len(content))
		l.segments = append(l.segments, Segment{f.name, content})
	}
	return nil
}

// read returns the content of a file of at most so many bytes.
func read(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = errLarge
	}
	return content, err
}

// errLarge: there is more content than is kept of a host.
var errLarge = fmt.Errorf("more than %d bytes", maxBytes)

// Save adds a segment of a host, and drops those named in replaces. When it
// fails, nothing was added or dropped. That a segment is not dropped is no
// failure.
func (s *Store) Save(ctx context.Context, host string, content []byte, replaces []string) error {
	folder, err := s.folder(host)
	if err != nil {
		return err
	}
	if len(content) > maxBytes {
		return fmt.Errorf("save memory of %s: %w", host, errLarge)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("save memory of %s: %w", host, err)
	}
	if err := write(folder, content); err != nil {
		return fmt.Errorf("save memory of %s: %w", host, err)
	}
	for _, name := range replaces {
		if isSegment(name) {
			_ = os.Remove(filepath.Join(folder, name))
		}
	}
	prune(folder, time.Now())
	return nil
}

// write makes a segment of content.
func write(folder string, content []byte) error {
	name := rand.Text()
	temp := filepath.Join(folder, tempPrefix+name)
	err := fill(temp, content)
	if err == nil {
		err = os.Rename(temp, filepath.Join(folder, name+suffix))
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// fill writes a new file that only its owner may read.
func fill(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// prune drops what goes beyond the bounds, and the temporary files of processes
// that are gone.
func prune(folder string, now time.Time) {
	d, err := listing(folder)
	if err != nil {
		return
	}
	n, left := 0, int64(maxBytes)
	for _, f := range d.segments {
		if n < maxSegments && f.size <= left {
			n, left = n+1, left-f.size
			continue
		}
		_ = os.Remove(filepath.Join(folder, f.name))
	}
	for _, f := range d.temps {
		if now.Sub(f.at) > maxAge {
			_ = os.Remove(filepath.Join(folder, f.name))
		}
	}
}

// folder returns the folder of a host.
func (s *Store) folder(host string) (string, error) {
	if host == "" {
		return "", errors.New("memory of a host without a name")
	}
	return filepath.Join(s.root, escape(host)), nil
}

// escape makes a host with its port the name of a folder, on any file system:
// whatever is no lower-case letter, digit, dash or dot inside becomes %XX.
func escape(host string) string {
	var b strings.Builder
	for i := range len(host) {
		c := host[i]
		inside := c == '.' && i > 0 && i < len(host)-1
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || inside {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
