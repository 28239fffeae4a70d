package memory

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// The names of files: a segment is random text and a suffix, the temporary file
// that it was before the same text and a prefix.
const (
	suffix     = ".json"
	tempPrefix = ".tmp-"
	nameLength = 26 // of what crypto/rand.Text returns
)

// entry is a file in the folder of a host.
type entry struct {
	name string
	size int64
	at   time.Time
}

// entries are the files in the folder of a host: segments newest first, and
// temporary files.
type entries struct {
	segments, temps []entry
	missed          bool // one was replaced while the folder was listed
}

// listing returns the files of a folder. What has another name than this
// package gives, or is no regular file, is not among them. A folder that does
// not exist has none.
func listing(folder string) (entries, error) {
	var out entries
	d, err := os.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	defer d.Close()
	found, err := d.ReadDir(maxEntries)
	if err != nil && err != io.EOF {
		return out, err
	}
	for _, f := range found {
		segment, temp := isSegment(f.Name()), strings.HasPrefix(f.Name(), tempPrefix)
		if !segment && !temp || !f.Type().IsRegular() {
			continue
		}
		info, err := f.Info()
		if err != nil {
			out.missed = true
			continue
		}
		e := entry{f.Name(), info.Size(), info.ModTime()}
		if segment {
			out.segments = append(out.segments, e)
		} else {
			out.temps = append(out.temps, e)
		}
	}
	slices.SortFunc(out.segments, func(a, b entry) int {
		if a.at.Equal(b.at) {
			return strings.Compare(a.name, b.name)
		}
		return b.at.Compare(a.at)
	})
	return out, nil
}

// isSegment says whether a name is one that a segment has.
func isSegment(name string) bool {
	text, ok := strings.CutSuffix(name, suffix)
	if !ok || len(text) != nameLength {
		return false
	}
	return strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
