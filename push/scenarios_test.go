package push_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// scenario is a push of an image of 9 layers of 256 KiB and a config, 6 of the
// layers those of a base, and the most that it may cost.
type scenario struct {
	name      string
	behaviour registrytest.Behaviour
	// prepare sets the registry up and returns the pusher and what it pushes.
	prepare  func(t *testing.T, s *stage) v1.Image
	requests int   // at most
	bytes    int64 // of layers, exactly
}

// stage is where a scenario plays.
type stage struct {
	*registrytest.Server
	pusher *push.Pusher
	base   []v1.Layer
	app    []v1.Layer
}

func (s *stage) image(t *testing.T, id string, app ...v1.Layer) v1.Image {
	if app == nil {
		app = s.app
	}
	return image(t, id, append(append([]v1.Layer{}, s.base...), app...)...)
}

// pulled returns the image as ggcr pulls it from a repository.
func (s *stage) pulled(t *testing.T, repo string) v1.Image {
	img, err := remote.Image(ref(t, s.Host, repo))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func scenarios() []scenario {
	changed := func(s *stage) []v1.Layer { return []v1.Layer{s.app[0], s.app[1], layer("changed", layerSize)} }
	return []scenario{
		{name: "cold", requests: 25, bytes: 9, prepare: func(t *testing.T, s *stage) v1.Image { return s.image(t, "1") }},
		{name: "again, same tag", requests: 2, prepare: func(t *testing.T, s *stage) v1.Image {
			img := s.image(t, "1")
			seed(t, s.Registry, "app", "v1", img)
			return img
		}},
		{name: "new tag, same digest", requests: 4, prepare: func(t *testing.T, s *stage) v1.Image {
			img := s.image(t, "1")
			seed(t, s.Registry, "app", "old", img)
			return img
		}},
		{name: "same tag, one layer and config changed", requests: 8, bytes: 1, prepare: func(t *testing.T, s *stage) v1.Image {
			seed(t, s.Registry, "app", "v1", s.image(t, "1"))
			return s.image(t, "2", changed(s)...)
		}},
		{name: "new tag, one layer and config changed", requests: 16, bytes: 1, prepare: func(t *testing.T, s *stage) v1.Image {
			seed(t, s.Registry, "app", "old", s.image(t, "1"))
			return s.image(t, "2", changed(s)...)
		}},
		{name: "base in another repository, known", requests: 18, bytes: 3, prepare: func(t *testing.T, s *stage) v1.Image {
			seed(t, s.Registry, "base", "v1", image(t, "base", s.base...))
			img, err := appendTo(s.pulled(t, "base:v1"), s.app...)
			if err != nil {
				t.Fatal(err)
			}
			return img
		}},
		{name: "base in another repository, unknown, registry discovers", requests: 20, bytes: 3,
			behaviour: registrytest.Behaviour{Discovery: registrytest.DiscoveryOn},
			prepare: func(t *testing.T, s *stage) v1.Image {
				seed(t, s.Registry, "base", "v1", image(t, "base", s.base...))
				return s.image(t, "1")
			}},
		{name: "base pushed to another repository before", requests: 18, bytes: 3, prepare: func(t *testing.T, s *stage) v1.Image {
			if _, err := s.pusher.Push(context.Background(), image(t, "base", s.base...), ref(t, s.Host, "base:v1")); err != nil {
				t.Fatal(err)
			}
			return s.image(t, "1")
		}},
		{name: "mount without from answered 404", requests: 32, bytes: 9,
			behaviour: registrytest.Behaviour{MountStatus: 404, MountScope: registrytest.MountsWithoutFrom},
			prepare:   func(t *testing.T, s *stage) v1.Image { return s.image(t, "1") }},
		{name: "promote", requests: 15, prepare: func(t *testing.T, s *stage) v1.Image {
			seed(t, s.Registry, "staging", "v1", s.image(t, "1"))
			return s.pulled(t, "staging:v1")
		}},
	}
}

func TestScenarios(t *testing.T) {
	for _, n := range []int{1, 8} {
		for _, sc := range scenarios() {
			t.Run(fmt.Sprintf("%s/%d at once", sc.name, n), func(t *testing.T) { runScenario(t, sc, n) })
		}
	}
}

func runScenario(t *testing.T, sc scenario, concurrency int) {
	srv := registrytest.Start(t, sc.behaviour)
	s := &stage{Server: srv, pusher: pusher(t, push.WithConcurrency(concurrency)), base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
	img := sc.prepare(t, s)
	label(t, srv.Registry, "layer", img)
	srv.Registry.ResetLog()
	report, err := s.pusher.Push(context.Background(), img, ref(t, srv.Host, "app:v1"))
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	lines := srv.Registry.Lines()
	t.Logf("%d requests\n%s\n%s", len(lines), strings.Join(lines, "\n"), report)
	if concurrency == 1 {
		golden(t, goldenPath("scenarios", sc.name), strings.Join(lines, "\n")+"\n")
	}
	if len(lines) > sc.requests {
		t.Errorf("%d requests, want at most %d", len(lines), sc.requests)
	}
	if got := srv.Registry.Count().Bytes / layerSize; got != sc.bytes {
		t.Errorf("%d layers sent, want %d", got, sc.bytes)
	}
	if err := srv.Registry.Complete("app", "v1"); err != nil {
		t.Error(err)
	}
	if n := srv.Registry.OpenSessions(); n != 0 {
		t.Errorf("%d sessions left open", n)
	}
	if report.Requests != len(lines) {
		t.Errorf("report counts %d requests, the registry %d", report.Requests, len(lines))
	}
}
