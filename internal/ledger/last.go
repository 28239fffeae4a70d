package ledger

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Last returns the digest of the manifest that was last put into a target, or
// seen there, and the tag that it was behind, if any; or "" if none is
// remembered. It is no proof: the manifest may be gone.
func (l *Ledger) Last(name, target string) (d digest.Digest, tag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[name]
	if h == nil {
		return "", ""
	}
	at := h.lasts[target]
	if l.now().Sub(at.at) >= traitExpiry {
		return "", ""
	}
	return at.digest, at.tag
}

// SetLast notes the digest of the manifest that a target was last seen to hold,
// and the tag that it is behind, or "".
func (l *Ledger) SetLast(name, target, tag string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(name)
	at, ok := h.lasts[target]
	if at.digest != d {
		at = last{digest: d}
	}
	if !ok && len(h.lasts) >= maxLasts {
		delete(h.lasts, h.oldestLast())
	}
	at.tag, at.at = tag, l.now()
	h.lasts[target] = at
	h.note(fresh(at.at, at.kept, traitExpiry))
}

// ForgetLast takes back that a target holds the manifest d. If another was noted
// in the meantime, that stays.
func (l *Ledger) ForgetLast(name, target string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[name]
	if h == nil {
		return
	}
	if at, ok := h.lasts[target]; ok && at.digest == d {
		delete(h.lasts, target)
		h.disown(at.kept)
		h.forget(d, target, time.Time{})
	}
}

// oldestLast returns the target whose last manifest was noted longest ago.
func (h *host) oldestLast() string {
	var oldest string
	var since time.Time
	for target, at := range h.lasts {
		if since.IsZero() || at.at.Before(since) {
			oldest, since = target, at.at
		}
	}
	return oldest
}
