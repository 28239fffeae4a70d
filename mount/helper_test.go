package mount

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// dig returns the digest of blob number n.
func dig(n int) digest.Digest { return digest.FromString(fmt.Sprint("blob ", n)) }

// behind returns the outcome of sending the rest to a session that stands
// elsewhere by then.
func behind() Outcome { return Outcome{Status: 416, Session: true, Sent: 9} }

// whole returns the outcome of an upload whose answer was lost.
func whole() Outcome { return Outcome{Session: true, Sent: 50 << 20, Whole: true} }

// from returns the outcome of a resumed upload that went on at offset.
func from(offset int64, o Outcome) Outcome {
	o.Offset = offset
	return o
}

// late is what a proxy answers that waits no longer, when some bytes were sent.
func late(sent int64) Outcome { return Outcome{Status: 504, Session: true, Sent: sent} }
