package ledger

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/crossmount/crossmount/mount"
)

// heap returns the bytes that live objects take.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A Pusher that runs for months must not grow: over 200,000 records the state
// reaches its bounds and stays there, and so does the heap.
func TestStaysBounded(t *testing.T) {
	const (
		records = 200_000
		perBlob = 400 // bytes; one place each
	)
	c := newClock()
	l := &Ledger{Now: c.now}
	empty := heap()
	var half int64
	for i := range records {
		if i == records/2 {
			half = heap() - empty
		}
		c.at = c.at.Add(time.Second)
		l.Record(host5000, repo(i%1000), mount.InTarget(blob(i), mount.Placed))
		if i%100 == 0 {
			l.Record(host5000, repo(i%1000), mount.Doubt(repo(i)))
		}
	}
	full := heap() - empty
	h := l.find(host5000)
	if len(h.blobs) != maxBlobs || h.order.Len() != maxBlobs {
		t.Errorf("%d blobs in the map, %d in the order, want %d", len(h.blobs), h.order.Len(), maxBlobs)
	}
	if len(h.doubts) != maxDoubts {
		t.Errorf("%d doubts, want %d", len(h.doubts), maxDoubts)
	}
	t.Logf("heap: %d bytes after %d records, %d after %d", half, records/2, full, records)
	if full > half+half/4 {
		t.Errorf("the heap grew from %d to %d bytes between %d and %d records", half, full, records/2, records)
	}
	if full > maxBlobs*perBlob {
		t.Errorf("the heap holds %d bytes, more than %d a blob", full, perBlob)
	}
	for _, i := range []int{0, records - maxBlobs - 1} {
		if got := placesOf(l, host5000, blob(i)); got != nil {
			t.Errorf("blob %d is remembered in %q, want it forgotten", i, got)
		}
	}
	if got := placesOf(l, host5000, blob(records-1)); got == nil {
		t.Error("the last blob is forgotten")
	}
	runtime.KeepAlive(l)
}

// Of a blob that is everywhere, the places that were seen last are remembered.
func TestPlacesStayBounded(t *testing.T) {
	var l Ledger
	d := blob(0)
	const records = 200_000
	for i := range records {
		l.Record(host5000, repo(i), mount.InTarget(d, mount.Placed))
		if n := len(l.find(host5000).blobs[d].Value.(*places).seen); n > maxPlaces {
			t.Fatalf("%d places after %d records, want at most %d", n, i+1, maxPlaces)
		}
	}
	var want []string
	for i := records - maxPlaces; i < records; i++ {
		want = append(want, repo(i))
	}
	if got := placesOf(&l, host5000, d); !slices.Equal(got, want) {
		t.Errorf("remembered in %q, want the last %d", got, maxPlaces)
	}
	seen := l.find(host5000).blobs[d].Value.(*places).seen
	if cap(seen) > 2*maxPlaces {
		t.Errorf("%d places are held for the %d that are remembered", cap(seen), len(seen))
	}
}

// A place that is seen again takes no room of another, and is not the next to
// be forgotten.
func TestPlaceSeenAgainStays(t *testing.T) {
	var l Ledger
	d := blob(0)
	for i := range maxPlaces {
		l.Record(host5000, repo(i), mount.InTarget(d, mount.Placed))
	}
	for range maxPlaces {
		l.Record(host5000, repo(0), mount.InTarget(d, mount.Present))
	}
	if got := placesOf(&l, host5000, d); len(got) != maxPlaces {
		t.Errorf("remembered in %q, want all %d places", got, maxPlaces)
	}
	l.Record(host5000, "one-more", mount.InTarget(d, mount.Placed))
	e := l.Evidence(host5000, "target", blobs(0))
	believed(t, e, d, repo(0), mount.Remembered)
	believed(t, e, d, repo(1), mount.NoBelief)
	believed(t, e, d, "one-more", mount.Remembered)
}

// The blob that was touched longest ago makes room; a blob that is forgotten
// leaves room.
func TestBlobTouchedLongestAgoGoes(t *testing.T) {
	var l Ledger
	see := func(i int) { l.Record(host5000, "base", mount.InTarget(blob(i), mount.Placed)) }
	known := func(i int) bool { return placesOf(&l, host5000, blob(i)) != nil }
	for i := range maxBlobs {
		see(i)
	}
	see(0)
	see(maxBlobs)
	if !known(0) || known(1) || !known(2) || !known(maxBlobs) {
		t.Errorf("blobs 0, 1, 2, new known: %v, %v, %v, %v; want only 1 forgotten", known(0), known(1), known(2), known(maxBlobs))
	}
	l.Record(host5000, "base", mount.InTarget(blob(0), mount.Absent))
	see(maxBlobs + 1)
	if known(0) || !known(2) || !known(maxBlobs+1) {
		t.Errorf("blobs 0, 2, new known: %v, %v, %v; want the room of 0 taken", known(0), known(2), known(maxBlobs+1))
	}
}

// The oldest doubt makes room. One that is raised again takes no room, and is
// the newest then.
func TestDoubtsStayBounded(t *testing.T) {
	c := newClock()
	l := Ledger{Now: c.now}
	raise := func(i int) {
		c.at = c.at.Add(time.Second)
		l.Record(host5000, "target", mount.Doubt(repo(i)))
	}
	for i := range maxDoubts {
		raise(i)
	}
	raise(1)
	for i := range maxDoubts {
		if !doubts(&l, host5000, "target", repo(i)) {
			t.Fatalf("doubt %d of %d is forgotten: one that was known took room", i, maxDoubts)
		}
	}
	raise(maxDoubts)
	raise(maxDoubts + 1)
	for i, want := range map[int]bool{0: false, 1: true, 2: false, 3: true, maxDoubts - 1: true, maxDoubts: true} {
		if got := doubts(&l, host5000, "target", repo(i)); got != want {
			t.Errorf("doubt %d is known: %v, want %v", i, got, want)
		}
	}
}
