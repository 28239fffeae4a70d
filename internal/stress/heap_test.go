package stress_test

import (
	"testing"
	"time"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// heapBound is how much memory a push may take above that of the idle process.
const heapBound = 32 << 20

// TestHeap measures the memory that a push takes in a process of its own, while
// the registry is in this one. The race detector makes everything larger and
// slower: with it, the largest layer is 256 MiB.
func TestHeap(t *testing.T) {
	size := flagged[int64]("bytes")
	if raceEnabled {
		size = min(size, 256<<20)
	}
	for _, tt := range []struct {
		name        string
		layers      int
		size        int64
		concurrency int
	}{
		{"one large layer", 1, size, 0},
		{"200 layers at once", 200, 256 << 10, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			layers := makeLayers(t, 3, tt.layers, tt.size)
			hashed := time.Since(began)
			s := serve(t, registrytest.Behaviour{DiscardAbove: 64 << 10}, nil)
			r := spawn(t, job{Ref: s.addr + "/app:v1", ID: "app", Layers: layers, Concurrency: tt.concurrency}).finish(t)
			t.Logf("%d bytes in %d layers: idle %.1f MiB, at most %.1f MiB in use, %d samples; %v (%v to know the digests)",
				r.Sent, tt.layers, mib(r.Idle), mib(r.Peak), r.Samples, r.Took.Round(time.Millisecond), hashed.Round(time.Millisecond))
			if want := tt.size * int64(tt.layers); r.Sent < want || s.now().Count().Bytes < want {
				t.Errorf("%d bytes were sent of %d", r.Sent, want)
			}
			if r.Peak > r.Idle+heapBound {
				t.Errorf("%.1f MiB above the idle process", mib(r.Peak-r.Idle))
			}
			if _, _, ok := s.now().Manifest("app", "v1"); !ok {
				t.Error("the tag does not stand")
			}
		})
	}
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }
