package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseRange reads the Range header of an upload session and returns how many bytes stand: the offset to
// go on from. "0-599999" gives 600000, and so does "bytes=0-599999".
//
// A missing header, "0--1" (olareg, Quay) and "0-0" give 0. On a session "0-0" cannot be told from one
// byte: fresh sessions of distribution, zot and ggcr say it. A caller that goes on from 0 after "0-0" may
// send again the one byte that stands; registries answer 416 to that, or take it.
//
// ok is false for anything else: text, a start other than 0, a negative or too large end.
func ParseRange(header string) (offset int64, ok bool) {
	text := strings.TrimSpace(header)
	text = strings.TrimPrefix(text, "bytes=")
	switch text {
	case "", "0-0", "0--1":
		return 0, true
	}
	digits, ok := strings.CutPrefix(text, "0-")
	if !ok || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	end, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil || end == math.MaxInt64:
		return 0, false
	case end == 0:
		return 0, true
	}
	return end + 1, true
}

// FormatContentRange gives the Content-Range header of a chunk from offset start to end, inclusive:
// "0-4999". Registries want this form of the distribution specification; the form of RFC 9110
// ("bytes 0-4999/5000") gets 416 or 500.
func FormatContentRange(start, end int64) string {
	return fmt.Sprintf("%d-%d", start, end)
}
