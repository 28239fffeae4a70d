package push_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// sharedMemory is a memory of several processes.
type sharedMemory struct {
	mu   sync.Mutex
	segs []push.Segment
}

func (m *sharedMemory) Load(context.Context, string) ([]push.Segment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]push.Segment{}, m.segs...), nil
}

func (m *sharedMemory) Save(_ context.Context, _ string, content []byte, _ []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.segs = append(m.segs, push.Segment{Name: digest.FromBytes(content).String(), Content: content})
	return nil
}

// TestMemoryComesLate: what another process has kept, and is loaded while a push
// is under way, skips no blob: the registry may have lost it since.
func TestMemoryComesLate(t *testing.T) {
	for _, b := range []registrytest.Behaviour{{}, {MissingBlobs: registrytest.MissingUnchecked}} {
		srv := registrytest.Start(t, b)
		m := &sharedMemory{}
		img := image(t, "app", layer("big", layerSize))
		// Another process pushes; then the registry loses all.
		if _, err := pusher(t, push.WithMemory(m)).Push(context.Background(), img, ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		for _, d := range contents(t, img)[1:] {
			srv.Registry.DeleteBlob("app", digest.Digest(d))
		}
		saved := m.segs
		m.segs = nil // this process begins before the segment is to be seen
		p := pusher(t, push.WithMemory(m))
		srv.Registry.Inject(registrytest.Fault{Do: registrytest.Stall, Delay: 2 * time.Second, Times: 1, Match: func(e registrytest.Entry) bool {
			return e.Repository == "app" && e.Kind == wire.Mount && e.From == "" && e.Digest.String() == contents(t, img)[2]
		}})
		done := make(chan error, 1)
		var report *push.Report
		go func() {
			var err error
			report, err = p.Push(context.Background(), image(t, "app2", layer("big", layerSize)), ref(t, srv.Host, "app:v2"))
			done <- err
		}()
		time.Sleep(200 * time.Millisecond)
		m.mu.Lock()
		m.segs = saved
		m.mu.Unlock()
		for i := range 20 { // the Pusher saves so often that it loads anew
			id := string(rune('a' + i))
			if _, err := p.Push(context.Background(), image(t, id, layer(id, 100)), ref(t, srv.Host, "other:v"+id)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := srv.Registry.Complete("app", "v2"); err != nil {
			t.Errorf("published incomplete: %v\n%s", err, report)
		}
		if report.Repaired > 0 {
			t.Errorf("a blob was skipped that no registry has spoken of, and brought in a repair")
		}
	}
}
