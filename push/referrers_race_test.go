package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
)

// TestReferrersRace: many push artifacts of one subject at once, each with a Pusher
// of its own, or with one for all; and no entry is lost.
func TestReferrersRace(t *testing.T) {
	const writers = 16
	for _, c := range []struct {
		name   string
		b      registrytest.Behaviour
		shared bool
	}{
		{"apart", registrytest.Behaviour{}, false},
		{"apart, far away", registrytest.Behaviour{Latency: 100 * time.Millisecond}, false},
		{"apart, with entity tags", registrytest.Behaviour{Latency: 20 * time.Millisecond, ManifestETags: true}, false},
		{"one pusher", registrytest.Behaviour{Latency: 20 * time.Millisecond}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 3 {
				synctest.Test(t, func(t *testing.T) { raceReferrers(t, writers, c.b, c.shared) })
			}
		})
	}
}

func raceReferrers(t *testing.T, writers int, b registrytest.Behaviour, shared bool) {
	r := registrytest.New(b)
	subject := image(t, "app")
	first := artifact(t, "first", subject)
	one := pusher(t, push.WithTransport(r.Client()))
	if _, err := one.Push(context.Background(), first, ref(t, faultHost, "app:first")); err != nil {
		t.Fatal(err)
	}
	r.ResetLog()
	want := []v1.Descriptor{describe(t, first)}
	var wg sync.WaitGroup
	for i := range writers {
		p := one
		if !shared {
			p = pusher(t, push.WithTransport(r.Client()))
		}
		a := artifact(t, fmt.Sprint(i), subject)
		want = append(want, describe(t, a))
		wg.Go(func() {
			if _, err := p.Push(context.Background(), a, ref(t, faultHost, fmt.Sprintf("app:a%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	began := time.Now()
	wg.Wait()
	gets, puts := 0, 0
	for _, e := range r.Log() {
		if e.Reference == fallback(t, subject) && e.Kind == wire.ManifestGet {
			gets++
		} else if e.Reference == fallback(t, subject) {
			puts++
		}
	}
	t.Logf("%d lists read, %d put, in %v", gets, puts, time.Since(began))
	if got := names(listed(t, r, "app", subject)); !slices.Equal(got, names(want)) {
		t.Errorf("%d of %d entries are left", len(got), len(want))
	}
}

// TestReferrersMeddled: somebody else, who does not look at what others do, puts a
// list of one entry of his own between two requests of a push.
func TestReferrersMeddled(t *testing.T) {
	subject := image(t, "app")
	tag := fallback(t, subject)
	first, a, his := artifact(t, "first", subject), artifact(t, "a", subject), artifact(t, "his", subject)
	for _, c := range []struct {
		name  string
		b     registrytest.Behaviour
		after string // which request
		want  []v1.Image
	}{
		{"after the update: what was overwritten is mended", registrytest.Behaviour{}, "PUT", []v1.Image{first, a, his}},
		{"before the update, which entity tags refuse", registrytest.Behaviour{ManifestETags: true}, "GET", []v1.Image{a, his}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := registrytest.New(c.b)
				if _, err := pusher(t, push.WithTransport(r.Client())).Push(context.Background(), first, ref(t, faultHost, "app:first")); err != nil {
					t.Fatal(err)
				}
				seed(t, r, "app", "his", his)
				entry, err := json.Marshal(describe(t, his))
				if err != nil {
					t.Fatal(err)
				}
				list := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.OCIImageIndex, entry)
				m := &meddling{RoundTripper: r.Client(), after: c.after + " /v2/app/manifests/" + tag}
				m.do = func() {
					if m.done == 1 {
						r.PutManifest("app", tag, string(types.OCIImageIndex), list)
					}
				}
				if _, err := pusher(t, push.WithTransport(m)).Push(context.Background(), a, ref(t, faultHost, "app:a")); err != nil {
					t.Fatal(err)
				}
				var want []v1.Descriptor
				for _, img := range c.want {
					want = append(want, describe(t, img))
				}
				if got := names(listed(t, r, "app", subject)); !slices.Equal(got, names(want)) {
					t.Errorf("listed: %v, want %v", got, names(want))
				}
			})
		})
	}
}

// TestReferrersOverwritten: somebody who never lets the list stand is an error
// after a bounded time.
func TestReferrersOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		subject := image(t, "app")
		empty := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, types.OCIImageIndex))
		tag := fallback(t, subject)
		hostile := &meddling{RoundTripper: r.Client(), after: "PUT /v2/app/manifests/" + tag, do: func() {
			r.PutManifest("app", tag, string(types.OCIImageIndex), empty)
		}}
		began := time.Now()
		_, err := pusher(t, push.WithTransport(hostile)).Push(context.Background(), artifact(t, "a", subject), ref(t, faultHost, "app:a"))
		if !errors.Is(err, push.ErrReferrers) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); hostile.done != 8 || took > time.Minute {
			t.Errorf("%d updates in %v", hostile.done, took)
		}
	})
}
