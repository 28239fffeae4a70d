package mount

import (
	"sort"

	"github.com/opencontainers/go-digest"
)

// odds are the probabilities that decide the ladder of one blob. They describe
// a small world of hidden truths: whether the target holds the blob, whether
// some other repository does, and what the host does with each kind of mount.
type odds struct {
	inTarget  float64 // the target holds the blob
	elsewhere float64 // a repository that nobody named holds it
	selves    float64 // the host answers a self-mount by what the target holds
	mounts    float64 // the host mounts from a named source
	any       [numAny]float64
	opens     bool      // a mount that misses opens a session
	heads     bool      // HEAD says something
	sources   []float64 // each named source holds the blob and may be read; falling
}

// anyAnswer is what a host does with a mount without a source.
type anyAnswer int

const (
	anyRefuses anyAnswer = iota // 4xx, no session
	anyMisses                   // 202 whatever it holds
	anyTarget                   // 201 when the target holds the blob
	anyEverywhere
	numAny
)

// What is believed of a host of which nothing is known. Most registries mount
// from a named source and honour a self-mount; one in ten discovers.
const (
	priorMounts  = 0.85
	priorSelves  = 0.8
	priorRefuses = 0.08
	priorSees    = 0.2 // of those that take a mount without a source
	priorFinds   = 0.5 // of those that see the target: they see everything
)

// probability returns how likely it is that a source holds the blob and may be read.
func (b Belief) probability() float64 {
	switch b {
	case Confirmed:
		return 0.99
	case Remembered:
		return 0.9
	case Claimed:
		return 0.7
	case Listed:
		return 0.25
	}
	return 0
}

// holds returns how likely it is that a source holds the blob that it is
// believed to hold. Whoever remembered or claimed a blob there that was not was
// most likely wrong about the others too, or the host does not mount. A guess is
// about each blob alone, and what is confirmed stays so.
func (e Evidence) holds(s Source) float64 {
	p := s.Belief.probability()
	if s.Belief == Claimed || s.Belief == Remembered {
		p /= float64(1 + e.misses(s.Repository))
	}
	return p
}

// likely returns the sources of d, the likeliest first.
func (e Evidence) likely(d digest.Digest) []Source {
	sources := e.Sources(d)
	sort.SliceStable(sources, func(i, j int) bool { return e.holds(sources[i]) > e.holds(sources[j]) })
	return sources
}

// hostOdds fills in what the traits of the host say.
func hostOdds(t Traits) odds {
	o := odds{
		selves: t.probability(SelfMounts, priorSelves),
		mounts: t.probability(MountsFrom, priorMounts),
		opens:  true,
		heads:  true,
	}
	if opens, known := t.Known(MissOpens); known {
		o.opens = opens
	}
	if heads, known := t.Known(Heads); known {
		o.heads = heads
	}
	takes := t.probability(TakesAny, 1-priorRefuses)
	finds := t.probability(Discovers, priorSees*priorFinds)
	sees := (1 - finds) * t.probability(SeesTarget, priorSees*(1-priorFinds)/(1-priorSees*priorFinds))
	o.any = [numAny]float64{1 - takes, takes * (1 - finds - sees), takes * sees, takes * finds}
	return o
}

// What is believed of a blob of which nothing is known.
const (
	elsewhereLayer  = 0.5 // another repository of the registry holds the layer
	elsewhereConfig = 0.02
)

// blobOdds returns the odds of one blob that is in the target with the given
// probability, as far as its neighbours tell, and has the named sources.
func blobOdds(host odds, b Blob, inTarget float64, named []Source, e Evidence) odds {
	o := host
	o.elsewhere = elsewhereLayer
	if b.Role == Config {
		o.elsewhere = elsewhereConfig
	}
	facts := e.blob(b.Digest)
	switch facts.presence {
	case Present:
		o.inTarget = 1
	case Absent:
		o.inTarget = 0
	default:
		o.inTarget = inTarget
		for _, s := range facts.sources {
			if s.Repository == e.target && e.standing != RepoAbsent {
				o.inTarget = max(o.inTarget, s.Belief.probability())
			}
		}
	}
	for _, s := range named {
		o.sources = append(o.sources, e.holds(s))
	}
	return o
}
