package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

const host5000 = "registry.example:5000"

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.at }

// blob returns the digest of blob i.
func blob(i int) digest.Digest { return digest.Digest(fmt.Sprintf("sha256:%064x", i)) }

// repo returns the name of repository i.
func repo(i int) string { return fmt.Sprintf("team/app-%d", i) }

// gone returns a fact: repository does not hold d.
func gone(d digest.Digest, repository string) mount.Fact {
	return mount.Fact{Blob: d, Doubted: true, Source: mount.Source{Repository: repository}}
}

// placesOf returns the repositories in which the ledger has seen d, as a push
// to a target that holds nothing is told. They come sorted by name, where they
// share no path with that target.
func placesOf(l *Ledger, name string, d digest.Digest) []string {
	var out []string
	for _, s := range l.Evidence(name, "nothing", []digest.Digest{d}).Sources(d) {
		out = append(out, s.Repository)
	}
	return out
}

// believed fails the test unless the evidence believes repository to hold d
// exactly as much as want.
func believed(t *testing.T, e mount.Evidence, d digest.Digest, repository string, want mount.Belief) {
	t.Helper()
	if got := e.Belief(d, repository); got != want {
		t.Errorf("belief in %s holding %s is %d, want %d", repository, d.Encoded()[56:], got, want)
	}
}

// blobs returns the digests of the blobs with the given numbers.
func blobs(numbers ...int) []digest.Digest {
	var out []digest.Digest
	for _, i := range numbers {
		out = append(out, blob(i))
	}
	return out
}

// lastOf returns the manifest that a target was last seen to hold.
func lastOf(l *Ledger, name, target string) digest.Digest {
	d, _ := l.Last(name, target)
	return d
}

// observed returns a fact about the host.
func observed(t mount.Trait, value bool) mount.Fact { return mount.Fact{Trait: t, Value: value} }
