package push_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		if deleted == 0 || status == 0 && open > 0 || status != 0 && deleted != 1 {
			t.Errorf("%d: %d sessions deleted, %d are open\n%s", status, deleted, open, lines)
		}
	}
}

// TestCancelsStall: a push that is cancelled while the registry keeps a DELETE
// waiting returns at once all the same.
func TestCancelsStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{MountAlways202: true})
		base := layers("base", 6, 100<<10)
		seed(t, r, "base", "v1", image(t, "base", base...))
		seed(t, r, "app", "old", image(t, "old", base...))
		r.Inject(registrytest.Fault{Do: registrytest.Stall, Match: func(e registrytest.Entry) bool {
			return e.Method == "DELETE" || e.Method == "PUT" && strings.Contains(e.URL, "/manifests/")
		}})
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		began := time.Now()
		time.AfterFunc(time.Second, func() { cancel(enough) })
		p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), push.WithBases(ref(t, memoryHost, "base:v1")))
		_, err := p.Push(ctx, image(t, "new", base...), ref(t, memoryHost, "app:v1"))
		if took := time.Since(began); !errors.Is(err, enough) || took > 1100*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		if !strings.Contains(strings.Join(r.Lines(), "\n"), "DELETE") {
			t.Errorf("no session was deleted\n%s", strings.Join(r.Lines(), "\n"))
		}
	})
}
