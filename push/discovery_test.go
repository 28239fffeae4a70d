package push_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/push"
)

// knows is evidence that a caller adds: all blobs are in one repository.
type knows string

func (k knows) Facts(_ context.Context, _ name.Repository, blobs []digest.Digest) ([]mount.Fact, error) {
	var facts []mount.Fact
	for _, d := range blobs {
		facts = append(facts, mount.At(d, string(k), mount.Confirmed), mount.InTarget(d, mount.Present))
	}
	return facts, nil
}

// TestSources: a base that is known in one way only is mounted, none of its
// bytes are sent, and that costs at most 18 requests and one manifest for each
// repository consulted.
func TestSources(t *testing.T) {
	annotated := func(t *testing.T, s *stage, img v1.Image) v1.Image {
		d, err := image(t, "base", s.base...).Digest()
		if err != nil {
			t.Fatal(err)
		}
		return mutate.Annotations(img, map[string]string{
			"org.opencontainers.image.base.name": s.Host + "/base:v1", "org.opencontainers.image.base.digest": d.String(),
		}).(v1.Image)
	}
	cases := []struct {
		name     string
		options  func(s *stage) []push.Option
		image    func(t *testing.T, s *stage, img v1.Image) v1.Image
		before   func(t *testing.T, s *stage, p *push.Pusher)
		requests int
		sent     int64
	}{
		{name: "by annotation", image: annotated, requests: 19, sent: 3},
		{name: "by the caller's list of images", requests: 19, sent: 3, options: func(s *stage) []push.Option {
			return []push.Option{push.WithBases(ref(t, s.Host, "base:v1"))}
		}},
		{name: "by the caller's list of repositories", requests: 19, sent: 3, options: func(s *stage) []push.Option {
			return []push.Option{push.WithSources(ref(t, s.Host, "base").Context())}
		}},
		{name: "observed", requests: 18, sent: 3, before: func(t *testing.T, s *stage, p *push.Pusher) {
			if err := p.Observe(context.Background(), ref(t, s.Host, "base:v1")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "by evidence of the caller's", requests: 22, sent: 3, options: func(s *stage) []push.Option {
			return []push.Option{push.WithEvidence(knows("base"))}
		}},
		{name: "not from there", requests: 25, sent: 9, options: func(s *stage) []push.Option {
			return []push.Option{push.WithBases(ref(t, s.Host, "base:v1")), push.WithMountsFrom("other/")}
		}},
		{name: "from there", requests: 19, sent: 3, options: func(s *stage) []push.Option {
			return []push.Option{push.WithBases(ref(t, s.Host, "base:v1")), push.WithMountsFrom("base")}
		}},
		{name: "no mounts", requests: 32, sent: 9, options: func(s *stage) []push.Option {
			return []push.Option{push.WithBases(ref(t, s.Host, "base:v1")), push.WithoutMounts()}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			srv := registrytest.Start(t, registrytest.Behaviour{})
			s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
			seed(t, srv.Registry, "base", "v1", image(t, "base", s.base...))
			img := s.image(t, "1")
			if c.image != nil {
				img = c.image(t, s, img)
			}
			opts := []push.Option{push.WithConcurrency(1)}
			if c.options != nil {
				opts = append(opts, c.options(s)...)
			}
			p := pusher(t, opts...)
			if c.before != nil {
				c.before(t, s, p)
			}
			label(t, srv.Registry, "layer", img)
			srv.Registry.ResetLog()
			if _, err := p.Push(context.Background(), img, ref(t, srv.Host, "app:v1")); err != nil {
				t.Fatal(err)
			}
			lines := srv.Registry.Lines()
			if len(lines) > c.requests {
				t.Errorf("%d requests, want at most %d\n%s", len(lines), c.requests, strings.Join(lines, "\n"))
			}
			if n := srv.Registry.Count().Bytes / layerSize; n != c.sent {
				t.Errorf("%d layers sent, want %d\n%s", n, c.sent, strings.Join(lines, "\n"))
			}
			if err := srv.Registry.Complete("app", "v1"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWithoutDiscovery: no digest leaves before its bytes, or a source, is known.
func TestWithoutDiscovery(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{Discovery: registrytest.DiscoveryOn})
	s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
	if _, err := pusher(t, push.WithoutDiscovery()).Push(context.Background(), s.image(t, "1"), ref(t, srv.Host, "app:v1")); err != nil {
		t.Fatal(err)
	}
	for _, e := range srv.Registry.Log() {
		if strings.Contains(e.URL, "mount=") && e.From == "" {
			t.Errorf("%s %s", e.Method, e.URL)
		}
	}
}

// TestBaseReadOnce: a Pusher reads the manifest of a base once, and remembers what
// it said for other repositories and images.
func TestBaseReadOnce(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	s := &stage{Server: srv, base: layers("base", 6, layerSize), app: layers("app", 3, layerSize)}
	seed(t, srv.Registry, "base", "v1", image(t, "base", s.base...))
	p := pusher(t, push.WithBases(ref(t, srv.Host, "base:v1")))
	for i := range 4 {
		img := image(t, fmt.Sprint(i), append(layers(fmt.Sprint("new", i), 3, layerSize), s.base...)...)
		if _, err := p.Push(context.Background(), img, ref(t, srv.Host, fmt.Sprintf("app%d:v1", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := manifestReads(srv.Registry, "base"); n != 1 {
		t.Errorf("the base was read %d times", n)
	}
	if n := srv.Registry.Count().Bytes / layerSize; n != 4*3 {
		t.Errorf("%d layers sent, want 12", n)
	}
}
