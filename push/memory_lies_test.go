package push_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/ledger"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/push"
)

// lie returns a segment in which every entry is wrong for a push of img to app:
// where its blobs are, what the target holds, and what the host does.
func lie(t testing.TB, img v1.Image, yes bool) []byte {
	t.Helper()
	var l ledger.Ledger
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	root, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blobs := []digest.Digest{digest.Digest(config.String()), digest.Digest(root.String())}
	for _, layer := range ls {
		d, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, digest.Digest(d.String()))
	}
	for i, d := range blobs {
		for _, in := range []string{"app", "absent", "private", fmt.Sprint("lonely", i)} {
			l.Record(memoryHost, in, mount.InTarget(d, mount.Placed))
		}
	}
	for trait := mount.Trait(1); !strings.HasPrefix(trait.String(), "Trait("); trait++ {
		for range 10 {
			l.Record(memoryHost, "app", mount.Fact{Trait: trait, Value: yes})
		}
	}
	l.Record(memoryHost, "app", mount.Fact{Limit: 1 << 19}, mount.Fact{Limit: 1 << 19, Patch: true})
	l.SetLast(memoryHost, "app", nil, digest.FromString("gone"))
	e, ok := l.Export(memoryHost)
	if !ok {
		t.Fatal("nothing to export")
	}
	return e.Content
}

// liar returns a memory that holds nothing but lies about a push of img to app.
func liar(t testing.TB, img v1.Image, yes bool) push.Memory {
	t.Helper()
	m, err := push.DiskMemory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(context.Background(), memoryHost, lie(t, img, yes), nil); err != nil {
		t.Fatal(err)
	}
	return m
}

// liesBuild returns a build of which one layer is larger than the limits that
// lies speak of.
func liesBuild(t testing.TB, n int) v1.Image {
	return image(t, fmt.Sprint("build", n), append(layers("kept", 8, 70<<10), layer(fmt.Sprint("build", n), 600<<10))...)
}

// TestMemoryLies pushes with a memory in which everything is wrong to registries
// with the manners of all that are known. No push fails for it, and the next is
// free of it.
func TestMemoryLies(t *testing.T) {
	worst, next := 0, 0
	for _, k := range append([]registrytest.Known{{Name: "conforming"}}, registrytest.Registries()...) {
		for _, yes := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", k.Name, yes), func(t *testing.T) {
				k.MountFromStatus = map[string]int{"private": 401}
				start := func() *registrytest.Registry {
					r := registrytest.New(k.Behaviour)
					for _, n := range []string{"app", "private"} {
						r.CreateRepository(n)
					}
					return r
				}
				img := liesBuild(t, 1)
				cold := len(process(t, start(), img, "app:v1"))
				memory, r := push.WithMemory(liar(t, img, yes)), start()
				lied := process(t, r, img, "app:v1", memory)
				extra := len(lied) - cold
				if extra > 30 {
					t.Errorf("%d requests, without a memory %d\n%s", len(lied), cold, strings.Join(lied, "\n"))
				}
				again := process(t, r, liesBuild(t, 2), "app:v2", memory)
				if len(again) > 12 {
					t.Errorf("%d requests for the next build\n%s", len(again), strings.Join(again, "\n"))
				}
				t.Logf("%d requests more than the %d without a memory; %d for the next build", extra, cold, len(again))
				worst, next = max(worst, extra), max(next, len(again))
			})
		}
	}
	t.Logf("at worst %d requests more; %d for the next build", worst, next)
}

// TestMemoryLiesWithTokens: the token server refuses every source that the
// memory names.
func TestMemoryLiesWithTokens(t *testing.T) {
	users := map[string]registrytest.TokenUser{"alice": {Password: "wonder", Access: []string{"app:pull,push"}}}
	for _, status := range []int{0, 400, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			img := liesBuild(t, 1)
			total := func(opts ...push.Option) int {
				tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{Users: users, RefuseForeign: status})
				r := registrytest.New(registrytest.Behaviour{Auth: tokens.Auth("https://auth.example/token")})
				network := push.WithTransport(registrytest.Network{memoryHost: r, "auth.example": tokens})
				return len(process(t, r, img, "app:v1", append(opts, network)...)) + tokens.Count()
			}
			cold, lied := total(), total(push.WithMemory(liar(t, img, true)))
			t.Logf("%d requests, without a memory %d", lied, cold)
			if lied > cold+30 {
				t.Errorf("%d requests, without a memory %d", lied, cold)
			}
		})
	}
}
