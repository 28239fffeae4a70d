package push_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// TestOutOfStep: a registry that is still taking in what was sent before a cut
// answers 416 to the rest. It is asked again where it stands, and nothing is sent
// twice but that rest. One that stays out of step gets all of it anew.
func TestOutOfStep(t *testing.T) {
	const size = 8 << 20
	for _, tt := range []struct {
		name     string
		times    int // a PATCH is answered 416
		requests int // that carry content
	}{{"once", 1, 3}, {"always", 0, 4}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := registrytest.New(registrytest.Behaviour{})
				large := func(e registrytest.Entry) bool { return e.Method == http.MethodPut && e.Digest != "" }
				rest := func(e registrytest.Entry) bool { return e.Method == http.MethodPatch }
				r.Inject(
					registrytest.Fault{Do: registrytest.CutBody, Match: large, Times: 1},
					registrytest.Fault{Do: registrytest.RangeInvalid, Match: rest, Times: tt.times})
				img := image(t, "1", layer("large", size))
				p := pusher(t, push.WithTransport(registrytest.Network{faultHost: r}), push.WithConcurrency(1))
				if _, err := p.Push(context.Background(), img, ref(t, faultHost, "app:v1")); err != nil {
					t.Fatal(err)
				}
				if err := r.Complete("app", "v1"); err != nil {
					t.Error(err)
				}
				carrying := 0
				for _, e := range r.Log() {
					if e.Sent > 10<<10 || e.Method == http.MethodPatch {
						carrying++
					}
				}
				if carrying != tt.requests {
					t.Errorf("%d requests for the content, want %d\n%s", carrying, tt.requests, strings.Join(r.Lines(), "\n"))
				}
				if n := r.OpenSessions(); n > 0 {
					t.Errorf("%d sessions left open", n)
				}
			})
		})
	}
}
