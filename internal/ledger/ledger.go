// Package ledger is the one mutable memory of facts. Pushes record in it what
// registries have shown, and take from it, as immutable evidence, what the next
// push may start from.
//
// What is remembered only orders tries: it never skips a blob. So a fact that
// is out of date costs a request, not a push.
//
// What a ledger knows of a host can outlive the process as segments: see
// [Ledger.Import], [Ledger.Export] and [Ledger.Saved].
package ledger

import (
	"container/list"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/lru"
	"github.com/crossmount/crossmount/mount"
)

const (
	// expiry is how long a place of a blob is remembered. Registries collect
	// what no manifest names, Quay after an hour.
	expiry = 12 * time.Hour
	// maxHosts bounds the hosts of which anything is remembered; the one that was
	// used longest ago is forgotten first.
	maxHosts = 1024
	// maxBlobs bounds the blobs remembered of all hosts; the one that was touched
	// longest ago is forgotten first.
	maxBlobs = 50_000
	// maxPlaces bounds the repositories remembered of one blob.
	maxPlaces = 8
	// traitExpiry is how long traits and the last manifests are remembered since
	// they were last seen, and limits outside of the process. Registries change their ways seldom
	// (ECR can switch mounting on), and keep what a tag names.
	traitExpiry = 7 * 24 * time.Hour
	// maxDoubts bounds the sources remembered of one host as unreadable for a
	// target; the oldest doubt is forgotten first.
	maxDoubts = 256
	// maxLasts bounds the targets of one host of which the last manifest is
	// remembered; the one that was noted longest ago is forgotten first.
	maxLasts = 2048
	// maxAllLasts bounds those of all hosts; the host that was used longest ago
	// loses one first.
	maxAllLasts = 4096
	// maxTags bounds the tags remembered of one target.
	maxTags = 8
)

// Ledger remembers facts by registry host. Hosts are told apart with their
// port. The zero value is empty and ready; it may be used by many goroutines
// at once.
type Ledger struct {
	// Now is the clock. The default is time.Now. It is set before first use.
	Now func() time.Time

	// mu guards the fields below and all that is in them.
	mu    sync.Mutex
	hosts *lru.Map[string, *host] // nil for none
	order list.List               // of *places of all hosts, most recently touched first
	lasts int                     // last manifests of all hosts
}

// Traits returns what is known of a host.
func (l *Ledger) Traits(name string) mount.Traits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.find(name); h != nil {
		h.age(l.now())
		return h.traits
	}
	return mount.Priors(name)
}

// Evidence returns what is known of the given blobs for a push to target on a
// host: the host's traits, and the facts.
func (l *Ledger) Evidence(name, target string, blobs []digest.Digest) mount.Evidence {
	return mount.NewEvidence(target, l.Traits(name), l.Facts(name, target, blobs)...)
}

// Facts returns in which repositories of a host the given blobs were seen, and
// which repositories are of no use for a push to target.
func (l *Ledger) Facts(name, target string, blobs []digest.Digest) []mount.Fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(name)
	if h == nil {
		return nil
	}
	now := l.now()
	var facts []mount.Fact
	for _, d := range blobs {
		e := h.blobs[d]
		if e == nil {
			continue
		}
		for _, p := range e.Value.(*places).seen {
			if now.Sub(p.at) < expiry {
				facts = append(facts, mount.At(d, p.repository, mount.Remembered))
			}
		}
	}
	for d, at := range h.doubts {
		if d.target == target && now.Sub(at) < expiry {
			facts = append(facts, mount.Doubt(d.source))
		}
	}
	return facts
}

// Since returns the repositories in which this process has seen a blob at the given
// time or later. What other processes have kept is not among them.
func (l *Ledger) Since(name string, d digest.Digest, at time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(name)
	if h == nil || h.blobs[d] == nil {
		return nil
	}
	var repositories []string
	for _, p := range h.blobs[d].Value.(*places).seen {
		if !p.heard.IsZero() && !p.heard.Before(at) {
			repositories = append(repositories, p.repository)
		}
	}
	return repositories
}

// Record remembers facts that a push to target on a host has shown, and returns
// the traits of the host as they are now. Claims and guesses are not kept.
func (l *Ledger) Record(name, target string, facts ...mount.Fact) mount.Traits {
	return l.RecordAnswer(name, target, time.Time{}, facts...)
}

// RecordAnswer is as Record for facts from the answer to a request that was sent
// at the given time: that a blob was not there then says nothing of one that was
// seen there since.
func (l *Ledger) RecordAnswer(name, target string, sent time.Time, facts ...mount.Fact) mount.Traits {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host(name)
	now := l.now()
	for _, f := range facts {
		switch {
		case f.Trait != 0:
			h.see(f.Trait, f.Value, now)
		case f.Limit > 0:
			h.seeLimit(f.Limit, f.Patch, now)
		case f.Doubted && f.Blob == "":
			h.distrust(doubt{target, f.Source.Repository}, now)
		case f.Doubted:
			h.forget(f.Blob, f.Source.Repository, sent)
		case f.Presence == mount.Absent:
			h.forget(f.Blob, target, sent)
		case f.Presence != mount.Unproven:
			h.remember(f.Blob, target, now)
		case f.Source.Belief == mount.Confirmed:
			h.remember(f.Blob, f.Source.Repository, now)
		}
	}
	return h.traits
}

func (l *Ledger) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}
