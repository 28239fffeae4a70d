package push_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// TestReferencedOnlyUnknown: on a registry that mounts only what a manifest names,
// and is not known for it, the other targets ask for a mount from their home in
// vain, and not over and over until its manifest stands.
func TestReferencedOnlyUnknown(t *testing.T) {
	for _, latency := range []time.Duration{0, 5 * time.Millisecond} {
		t.Run(fmt.Sprint(latency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newCopying(t, 6, 300<<10)
				x.source.SetBehaviour(func(b *registrytest.Behaviour) {
					*b = registrytest.Behaviour{ReferencedOnly: true, Latency: latency}
				})
				for i := range 3 {
					x.refs = append(x.refs, ref(t, copySource, fmt.Sprintf("promoted%d:v1", i)))
				}
				x.source.ResetLog()
				if _, err := x.push(t); err != nil {
					t.Fatal(err)
				}
				for _, r := range x.refs {
					if err := x.source.Complete(r.Context().RepositoryStr(), "v1"); err != nil {
						t.Error(err)
					}
				}
				mounts := map[string]int{}
				for _, line := range x.source.Lines() {
					if strings.Contains(line, " mount=") {
						mounts[line]++
					}
				}
				for line, n := range mounts {
					if n > 2 {
						t.Errorf("%d times %s", n, line)
					}
				}
				t.Logf("%d requests", x.source.Count().Requests)
			})
		})
	}
}
