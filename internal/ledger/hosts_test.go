package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/crossmount/crossmount/mount"
)

// hostName returns the name of host i.
func hostName(i int) string { return fmt.Sprintf("registry%d.example", i) }

// However many hosts there are, what is remembered of all of them is bounded, and
// goes in the order in which it was used.
func TestHostsStayBounded(t *testing.T) {
	c := newClock()
	l := &Ledger{Now: c.now}
	const hosts, blobs = 2 * maxHosts, 50
	for i := range hosts {
		c.at = c.at.Add(time.Second)
		l.Record(hostName(0), repo(0), mount.InTarget(blob(0), mount.Present)) // in use all the time
		for j := range blobs {
			l.Record(hostName(i), repo(j), mount.InTarget(blob(i*blobs+j), mount.Placed), mount.Doubt(repo(j)))
			l.SetLast(hostName(i), repo(j), []string{"v1"}, blob(j))
		}
	}
	if n := l.hosts.Len(); n != maxHosts {
		t.Errorf("%d hosts, want %d", n, maxHosts)
	}
	all, lasts := 0, 0
	for _, h := range l.hosts.All() {
		all, lasts = all+len(h.blobs), lasts+len(h.lasts)
	}
	if all != maxBlobs || l.order.Len() != maxBlobs {
		t.Errorf("%d blobs, %d in the order, want %d", all, l.order.Len(), maxBlobs)
	}
	if lasts > maxAllLasts || lasts < maxAllLasts/2 || l.lasts != lasts {
		t.Errorf("%d last manifests, %d counted, want at most %d", lasts, l.lasts, maxAllLasts)
	}
	for i, want := range map[int]bool{0: true, 1: false, hosts - maxHosts: false, hosts - maxHosts + 1: false, hosts - 1: true} {
		if got := placesOf(l, hostName(i), blob(i*blobs)) != nil; got != want {
			t.Errorf("a blob of host %d is known: %t, want %t", i, got, want)
		}
		if got := lastOf(l, hostName(i), repo(blobs-1)) != ""; got != want {
			t.Errorf("a manifest of host %d is known: %t", i, got)
		}
	}
}

// A host that is forgotten takes its blobs along, and can be learned anew, also
// while an export of it is being saved.
func TestHostForgotten(t *testing.T) {
	c := newClock()
	l := &Ledger{Now: c.now}
	l.Record(hostName(0), "a", mount.InTarget(blob(0), mount.Placed), mount.Fact{Trait: mount.Heads, Value: true})
	e, ok := l.Export(hostName(0))
	if !ok {
		t.Fatal("nothing to export")
	}
	for i := range maxHosts {
		l.Record(hostName(1+i), "a", mount.InTarget(blob(0), mount.Placed))
	}
	if l.find(hostName(0)) != nil || l.order.Len() != maxHosts {
		t.Errorf("%d blobs of %d hosts", l.order.Len(), maxHosts)
	}
	l.Saved(e)
	l.Record(hostName(0), "a", mount.InTarget(blob(1), mount.Placed))
	again, ok := l.Export(hostName(0))
	if !ok || len(again.facts.places) != 1 {
		t.Errorf("exported %+v", again.facts)
	}
}
