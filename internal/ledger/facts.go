package ledger

import (
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// stamp is a time as segments hold it: milliseconds since 1970. 0 is none.
type stamp int64

// stampOf returns a time as a stamp.
func stampOf(t time.Time) stamp { return stamp(t.UnixMilli()) }

// time returns the stamp as a time.
func (s stamp) time() time.Time { return time.UnixMilli(int64(s)) }

// alive says whether what was seen at s is still worth something: it is not
// older than ttl, nor from the future.
func (s stamp) alive(now time.Time, ttl time.Duration) bool {
	at := stampOf(now)
	return s <= at && s > at-stamp(ttl.Milliseconds())
}

// fresh says whether what was seen at the given time is worth saving, when
// segments hold it with the time kept: they hold none, or one that has aged.
// What is seen again and again is thus not saved again and again.
func fresh(at time.Time, kept stamp, ttl time.Duration) bool {
	return kept == 0 || stampOf(at)-kept > stamp(ttl.Milliseconds()/4)
}

// fresh says whether a trait is worth saving, given how often it was seen. One
// more observation of a rate is not.
func (s sight) fresh(t mount.Trait, n mount.Seen) bool {
	n = capped(t, n)
	changed := n != s.keptCount
	if all := n.Yes + n.No; t.Rate() {
		changed = 2*all > 3*(s.keptCount.Yes+s.keptCount.No)
	}
	return changed || fresh(s.at, s.kept, traitExpiry)
}

// facts is what a segment holds.
type facts struct {
	places []placeFact
	lasts  []lastFact
	traits []traitFact
	limit  limitFact
	future bool // some of its times were from the future
}

type placeFact struct {
	digest     digest.Digest
	repository string
	at         stamp
}

type lastFact struct {
	target string
	digest digest.Digest
	tags   []string
	at     stamp
}

type traitFact struct {
	trait mount.Trait
	count mount.Seen
	at    stamp
}

// limitFact is a PUT that was refused for its size. That a PATCH was refused is
// not kept: it makes uploads go in chunks, which some hosts do not take, and so a
// limit that has gone could fail a push.
type limitFact struct {
	size int64 // 0 for none
	at   stamp
}

// empty says that a segment with these facts is of no more use to anyone.
func (f facts) empty() bool {
	return len(f.places) == 0 && len(f.lasts) == 0 && len(f.traits) == 0 && f.limit == limitFact{} && !f.future
}

// The bounds of what is taken from a segment, or written into one.
const (
	// maxCount bounds how often a trait counts as seen: so few observations
	// that a host which has changed its ways can overturn them.
	maxCount = 4
	// maxRate bounds it for what is a rate, where each observation counts.
	maxRate = 64
	// maxKept bounds the repositories of one blob; the newest are kept.
	maxKept = 2
	// minLimit is the smallest limit of a PUT, in bytes, that is believed. Hosts
	// that take less take hardly any layer.
	minLimit = 1 << 19
	// maxName and maxTag bound the names of repositories and tags, as distribution
	// does.
	maxName = 255
	maxTag  = 128
)

// capped bounds how often a trait counts as seen, and keeps whether it was seen
// more often than not.
func capped(t mount.Trait, n mount.Seen) mount.Seen {
	limit := maxCount
	if t.Rate() {
		limit = maxRate
	}
	if most := max(n.Yes, n.No); most > limit {
		n.Yes = share(n.Yes, most, limit)
		n.No = share(n.No, most, limit)
	}
	return n
}

// share returns n of most as a share of limit, rounded down.
func share(n, most, limit int) int { return int(float64(n) / float64(most) * float64(limit)) }

// traitNames returns the traits with their names in segments, by which they call
// themselves.
func traitNames() map[mount.Trait]string {
	names := map[mount.Trait]string{}
	for t := mount.Trait(1); ; t++ {
		name := t.String()
		if strings.HasPrefix(name, "Trait(") {
			return names // there are no more
		}
		names[t] = name
	}
}

// nameable says whether s has the form of a repository's name. Nothing else is
// written into a segment as one, nor taken from it.
func nameable(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-/") == "" && s[0] != '/'
}

// taggable says whether all tags have the form of a tag, and are not too many.
func taggable(tags []string) bool {
	for _, s := range tags {
		if s == "" || len(s) > maxTag || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			return false
		}
	}
	return len(tags) <= maxTags
}
