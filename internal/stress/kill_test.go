package stress_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
)

const (
	tiny      = 64 << 10 // bytes: what may be sent again rather than asked for
	layerSize = 1 << 20
)

// kills is how many pushes are killed.
func kills() int {
	if raceEnabled {
		return 20
	}
	return 50
}

// slow is a registry to which a push of 8 MiB takes some 300 ms.
func slow() registrytest.Behaviour {
	return registrytest.Behaviour{Latency: 5 * time.Millisecond, BytesPerSecond: 32 << 20}
}

// TestKill kills a process at random moments of its push. Another one that
// pushes the same image then gets to the end, and sends nothing that stands.
func TestKill(t *testing.T) {
	layers := makeLayers(t, 1, 8, layerSize)
	seed := flagged[uint64]("seed")
	var spans [2]time.Duration
	for i := range spans {
		s, j := killTarget(t, layers, i == 1)
		began := time.Now()
		r := spawn(t, j).finish(t)
		spans[i] = r.Took
		t.Logf("seed %d; base known: %v; a whole push takes %v, and the process %v", seed, i == 1, r.Took, time.Since(began))
		if err := s.now().Complete("app", "v1"); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("at", func(t *testing.T) {
		for n := range kills() {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			baseKnown := n%2 == 1
			span := spans[n%2]
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				killed(t, layers, baseKnown, func() time.Duration { return time.Duration(random.Float64() * float64(span)) })
			})
		}
	})
}

// killTarget serves a registry for one push and returns the job that does it.
// When the base is known, the lower half of the layers can be mounted.
func killTarget(t *testing.T, layers []layer, baseKnown bool) (*server, job) {
	s := serve(t, slow(), nil)
	j := job{Ref: s.addr + "/app:v1", ID: "app", Layers: layers}
	if baseKnown {
		fill(t, s.now(), "base", layers[:len(layers)/2])
		j.Base = s.addr + "/base"
	}
	return s, j
}

// killed kills one push, and pushes again.
func killed(t *testing.T, layers []layer, baseKnown bool, moment func() time.Duration) {
	const most = 10 // tries to meet it before its end
	for range most {
		s, j := killTarget(t, layers, baseKnown)
		at := moment()
		c := spawn(t, j)
		await(t, "the first request", func() bool { return s.now().Count().Requests > 0 })
		time.Sleep(at)
		if !c.kill(t) {
			continue
		}
		await(t, "the end of the requests", func() bool { return s.underWay.Load() == 0 })
		again(t, s, j, at)
		return
	}
	t.Fatalf("the push ended before the kill %d times", most)
}

// again pushes once more to a registry whose client was killed.
func again(t *testing.T, s *server, j job, at time.Duration) {
	r := s.now()
	all := blobs(t, mustImage(t, j.ID, j.Layers))
	stood := standing(r, "app", all)
	inTarget := len(stood)
	if j.Base != "" {
		for d, size := range standing(r, "base", all) {
			stood[d] = size // can be mounted
		}
	}
	sessions := r.OpenSessions()
	r.ResetLog()
	spawn(t, j).finish(t)
	if err := r.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
	sentAgain := map[digest.Digest]int64{}
	for _, e := range r.Log() {
		if size, ok := stood[e.Digest]; ok && e.Kind == wire.UploadFinish && e.Sent > 0 {
			sentAgain[e.Digest] = size
		}
	}
	missing := total(all) - total(stood)
	t.Logf("killed after %v: %d of %d blobs stood, %d more could be mounted, %d sessions were left; sent again: %d blobs, %d bytes",
		at.Round(time.Millisecond), inTarget, len(all), len(stood)-inTarget, sessions, len(sentAgain), total(sentAgain))
	for d, size := range sentAgain {
		if size > tiny {
			t.Errorf("%s stood and was sent again", d)
		}
	}
	if got := r.Count().Bytes; got > missing+total(sentAgain) {
		t.Errorf("%d bytes were sent, and %d were missing", got, missing)
	}
}
