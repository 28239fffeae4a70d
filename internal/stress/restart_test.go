package stress_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/crossmount/crossmount/push"
)

const (
	restarts = 10 // of each kind
	outage   = 300 * time.Millisecond
)

// TestRestart takes the registry away in the middle of a push: its listener and
// all connections. After a while it is there again, with the same content, and
// with or without the upload sessions that were open. The push gets to its end.
func TestRestart(t *testing.T) {
	layers := makeLayers(t, 2, 8, layerSize)
	seed := flagged[uint64]("seed")
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("sessions lost is %v", lost), func(t *testing.T) {
			for n := range restarts {
				random := rand.New(rand.NewPCG(seed, uint64(n)))
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					restarted(t, layers, lost, random)
				})
			}
		})
	}
}

// restarted lets the registry go away once at a random moment of a push.
func restarted(t *testing.T, layers []layer, lost bool, random *rand.Rand) {
	img := mustImage(t, "app", layers)
	s := serve(t, slow(), nil)
	p := pusher(t, push.WithTransport(transport(t)))
	done := make(chan error, 1)
	var report *push.Report
	go func() {
		var err error
		report, err = p.Push(context.Background(), img, reference(t, s.addr, "app:v1"))
		done <- err
	}()
	after := int64(random.Float64() * float64(len(layers)*layerSize))
	await(t, "the middle of the push", func() bool { return s.now().Count().Bytes >= after && s.now().Count().Requests > 0 })
	s.halt()
	r := s.now()
	all := blobs(t, img)
	stood, sent, open := standing(r, "app", all), r.Count().Bytes, r.OpenSessions()
	most := sent - total(stood)
	if lost {
		s.forget()
		most += int64(open * layerSize) // a session that is gone is met when its content has gone out
	}
	time.Sleep(outage)
	s.start(t, r, s.addr)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := r.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
	twice := r.Count().Bytes - total(all)
	t.Logf("gone after %d bytes, %d of %d blobs stood, %d sessions were open; %d bytes came twice; %d requests",
		sent, len(stood), len(all), open, twice, report.Requests)
	if twice > most {
		t.Errorf("%d bytes came twice, more than %d", twice, most)
	}
}
