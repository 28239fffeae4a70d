package push_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// TestCancels: sessions that turn out to be of no use are deleted, all of them where
// the registry does that, and no more than one where it does not.
func TestCancels(t *testing.T) {
	for _, status := range []int{0, 400, 405} {
		srv := registrytest.Start(t, registrytest.Behaviour{})
		s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
		seed(t, srv.Registry, "base", "v1", image(t, "base", s.base...))
		seed(t, srv.Registry, "app", "old", image(t, "old", s.base...))
		srv.Registry.SetBehaviour(func(b *registrytest.Behaviour) {
			*b = registrytest.Behaviour{MountAlways202: true, DeleteSession: status}
		})
		p := pusher(t, push.WithBases(ref(t, srv.Host, "base:v1")))
		if _, err := p.Push(context.Background(), s.image(t, "1"), ref(t, srv.Host, "app:v1")); err != nil {
			t.Fatal(err)
		}
		lines := strings.Join(srv.Registry.Lines(), "\n")
		deleted, open := strings.Count(lines, "DELETE "), srv.Registry.OpenSessions()
		if status == 0 && (deleted < 3 || open > 0) || status != 0 && deleted != 1 {
			t.Errorf("%d: %d sessions deleted, %d are open\n%s", status, deleted, open, lines)
		}
	}
}
