package ledger

import (
	"sync"
	"testing"

	"github.com/crossmount/crossmount/mount"
)

// Many pushes record and ask at once. Nothing that was recorded is lost, and
// evidence may be read while others record.
func TestConcurrentUse(t *testing.T) {
	const (
		pushes = 16
		rounds = 200
	)
	hosts := []string{host5000, "registry.example"}
	var l Ledger
	var wg sync.WaitGroup
	for p := range pushes {
		wg.Go(func() {
			name, target := hosts[p%len(hosts)], repo(p)
			shared := blob(0)
			for i := range rounds {
				own := blob(1 + p*rounds + i)
				l.Record(name, target,
					mount.InTarget(own, mount.Placed),
					mount.InTarget(shared, mount.Placed),
					mount.Doubt(repo(i%7)),
					mount.Fact{Trait: mount.Heads, Value: i%2 == 0})
				e := l.Evidence(name, target, blobs(0, 1+p*rounds+i))
				if e.Belief(own, target) != mount.Remembered {
					t.Errorf("push %d does not remember blob %d, which it has just put there", p, i)
				}
				if got := len(e.Sources(shared)); got > maxPlaces {
					t.Errorf("%d sources of the shared blob, want at most %d", got, maxPlaces)
				}
				l.Traits(name)
			}
		})
	}
	wg.Wait()
	want := mount.Seen{Yes: pushes / 2 * rounds / 2, No: pushes / 2 * rounds / 2}
	for _, name := range hosts {
		if got := l.Traits(name).Of(mount.Heads); got != want {
			t.Errorf("%s: trait seen %+v, want %+v", name, got, want)
		}
		if got := len(l.find(name).blobs); got != pushes/2*rounds+1 {
			t.Errorf("%s: %d blobs, want %d", name, got, pushes/2*rounds+1)
		}
	}
}
