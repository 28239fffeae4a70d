package ledger

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Last returns the digest of the manifest that was last put into a target, or
// seen there, or "" if none is remembered; and the tags of the target that were
// put or seen last, newest last. It is no proof: the manifest may be gone.
func (l *Ledger) Last(name, target string) (d digest.Digest, tags []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(name)
	if h == nil {
		return "", nil
	}
	at := h.lasts[target]
	if l.now().Sub(at.at) >= traitExpiry {
		return "", nil
	}
	return at.digest, slices.Clone(at.tags)
}

// SetLast notes the digest of the manifest that a target was last seen to hold,
// and tags that are known of the target, if any.
func (l *Ledger) SetLast(name, target string, tags []string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(name)
	at, ok := h.lasts[target]
	if at.digest != d {
		at = last{digest: d, tags: at.tags}
	}
	if !ok && len(h.lasts) >= maxLasts {
		delete(h.lasts, h.oldestLast())
		l.lasts--
	}
	at.tags, at.at = newest(at.tags, tags), l.now()
	h.lasts[target] = at
	h.note(fresh(at.at, at.kept, traitExpiry))
	if !ok {
		l.lasts++
		l.trimLasts()
	}
}

// trimLasts forgets last manifests when there are too many of all hosts, an eighth
// of them at a time.
func (l *Ledger) trimLasts() {
	if l.lasts <= maxAllLasts {
		return
	}
	for _, h := range l.hosts.Backward() {
		for l.lasts > maxAllLasts*7/8 && len(h.lasts) > 0 {
			delete(h.lasts, h.oldestLast())
			l.lasts--
		}
	}
}

// newest returns old tags and new ones, each once, as far as they are kept.
func newest(old, tags []string) []string {
	var out []string
	for _, t := range old {
		if !slices.Contains(tags, t) {
			out = append(out, t)
		}
	}
	for _, t := range tags {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out[max(0, len(out)-maxTags):]
}

// ForgetLast takes back that a target holds the manifest d. If another was noted
// in the meantime, that stays.
func (l *Ledger) ForgetLast(name, target string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(name)
	if h == nil {
		return
	}
	if at, ok := h.lasts[target]; ok && at.digest == d {
		delete(h.lasts, target)
		l.lasts--
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
