package push_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// fakeMemory is a memory that counts its calls, and waits or fails.
type fakeMemory struct {
	wait         time.Duration // how long a call takes, or as long as its context
	load, save   error
	mu           sync.Mutex // guards the fields below
	kept         map[string][]push.Segment
	loads, tries int
}

func (m *fakeMemory) pause(ctx context.Context) error {
	select {
	case <-time.After(m.wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *fakeMemory) Load(ctx context.Context, host string) ([]push.Segment, error) {
	m.mu.Lock()
	m.loads++
	kept := m.kept[host]
	m.mu.Unlock()
	return kept, errors.Join(m.pause(ctx), m.load)
}

func (m *fakeMemory) Save(ctx context.Context, host string, content []byte, replaces []string) error {
	m.mu.Lock()
	m.tries++
	m.mu.Unlock()
	if err := errors.Join(m.pause(ctx), m.save); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string][]push.Segment{}
	}
	m.kept[host] = append(m.kept[host], push.Segment{Name: fmt.Sprint(len(m.kept[host])), Content: content})
	return nil
}

var errMemory = errors.New("the memory is full of holes")

// TestMemoryBroken: whatever a memory does, pushes succeed, are not held up each
// by each, and one warning says so.
func TestMemoryBroken(t *testing.T) {
	const pushes = 20
	for _, c := range []struct {
		name         string
		memory       *fakeMemory
		loads, saves int
		warnings     int
		most         time.Duration
	}{
		{"sound", &fakeMemory{}, 2, pushes, 0, time.Second},
		{"slow", &fakeMemory{wait: 100 * time.Millisecond}, 2, pushes, 0, 3 * time.Second},
		{"never answers", &fakeMemory{wait: time.Hour}, 1, 1, 1, 5 * time.Second},
		{"load fails", &fakeMemory{load: errMemory}, 2, pushes, 1, time.Second},
		{"save fails", &fakeMemory{save: errMemory}, 1, 1, 1, time.Second},
		{"both fail", &fakeMemory{load: errMemory, save: errMemory}, 1, 1, 1, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := registrytest.New(registrytest.Behaviour{})
				var log bytes.Buffer
				p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), push.WithMemory(c.memory),
					push.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))
				began := time.Now()
				for i := range pushes {
					if _, err := p.Push(context.Background(), build(t, i, 1<<10), ref(t, memoryHost, fmt.Sprint("app:v", i))); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("took %v, want at most %v", took, c.most)
				}
				if n := strings.Count(log.String(), "level=WARN"); n != c.warnings || strings.Count(log.String(), "\n") != n {
					t.Errorf("%d warnings, want %d: %s", n, c.warnings, log.String())
				}
				if c.memory.loads > c.loads || c.memory.loads == 0 || c.memory.tries > c.saves || c.memory.tries == 0 {
					t.Errorf("%d loads, %d saves, want at most %d, %d", c.memory.loads, c.memory.tries, c.loads, c.saves)
				}
			})
		})
	}
}

// A memory that has failed to save is tried again later, and then gets all.
func TestMemoryRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		m := &fakeMemory{save: errMemory}
		p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), push.WithMemory(m))
		for i := range 3 {
			if _, err := p.Push(context.Background(), build(t, i, 1<<10), ref(t, memoryHost, fmt.Sprintf("app%d:v1", i))); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				m.save = nil
				time.Sleep(2 * time.Minute)
			}
		}
		if len(m.kept[memoryHost]) != 1 {
			t.Fatalf("%d segments", len(m.kept[memoryHost]))
		}
		for i := range 3 {
			if content := m.kept[memoryHost][0].Content; !bytes.Contains(content, fmt.Appendf(nil, `"app%d"`, i)) {
				t.Errorf("nothing of push %d in %s", i, content)
			}
		}
	})
}

// TestMemoryShared starts many pushes to one host at once: the memory is loaded
// once, and what all of them have learned is saved.
func TestMemoryShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		m := &fakeMemory{wait: 50 * time.Millisecond}
		p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), push.WithMemory(m))
		var wg sync.WaitGroup
		for i := range 15 {
			img, to := build(t, i, 1<<10), ref(t, memoryHost, fmt.Sprintf("app%d:v1", i))
			wg.Go(func() {
				if _, err := p.Push(context.Background(), img, to); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if m.loads != 1 {
			t.Errorf("%d loads", m.loads)
		}
		var all []byte
		for _, s := range m.kept[memoryHost] {
			all = append(all, s.Content...)
		}
		for i := range 15 {
			if !bytes.Contains(all, fmt.Appendf(nil, `"app%d"`, i)) {
				t.Errorf("nothing is kept of push %d", i)
			}
		}
	})
}

// A push that is cancelled does not wait for the memory, and leaves it to the
// next push to load.
func TestMemoryCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.New(registrytest.Behaviour{})
		m := &fakeMemory{wait: time.Second}
		p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), push.WithMemory(m))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := p.Push(ctx, build(t, 1, 1<<10), ref(t, memoryHost, "app:v1")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if _, err := p.Push(context.Background(), build(t, 1, 1<<10), ref(t, memoryHost, "app:v1")); err != nil {
			t.Error(err)
		}
		if m.loads != 2 {
			t.Errorf("%d loads, want a second", m.loads)
		}
	})
}

// TestMemoryNoFolder pushes with a disk memory whose folder is a file.
func TestMemoryNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := registrytest.New(registrytest.Behaviour{})
	cold := process(t, r, build(t, 1, 1<<10), "cold:v1")
	if lines := process(t, r, build(t, 1, 1<<10), "app:v1", diskMemory(t, file)); len(lines) > len(cold) {
		t.Errorf("%d requests, without a memory %d", len(lines), len(cold))
	}
}

// TestMemoryPlan: a plan starts from the memory, and writes nothing to it.
func TestMemoryPlan(t *testing.T) {
	r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
	process(t, r, build(t, 1, 1<<10), "app:v1", diskMemory(t, dir))
	before := len(segments(t, dir))
	plan, err := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), diskMemory(t, dir)).
		Plan(context.Background(), build(t, 2, 1<<10), ref(t, memoryHost, "app:v2"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(plan.String(), "stands\n"); n != 8 {
		t.Errorf("%d blobs stand by the plan, want 8\n%s", n, plan)
	}
	if n := len(segments(t, dir)); n != before {
		t.Errorf("%d segments, before the plan %d", n, before)
	}
}

// A manifest that is remembered and gone is asked for once.
func TestMemoryForgetsManifest(t *testing.T) {
	old, empty := registrytest.New(registrytest.Behaviour{}), registrytest.New(registrytest.Behaviour{})
	dir := t.TempDir()
	process(t, old, build(t, 1, 1<<10), "app:v1", diskMemory(t, dir))
	p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: empty}), diskMemory(t, dir))
	for range 3 {
		if _, err := p.Plan(context.Background(), build(t, 2, 1<<10), ref(t, memoryHost, "app:v2")); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(strings.Join(empty.Lines(), "\n"), "GET app manifest sha256:"); n != 1 {
		t.Errorf("asked for %d times\n%s", n, strings.Join(empty.Lines(), "\n"))
	}
}

// For an image of two blobs, the manifest that may prove one is worth no request
// beside that for the tag.
func TestMemoryNotWorthARequest(t *testing.T) {
	r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
	process(t, r, image(t, "1", layer("one", 1<<10)), "app:v1", diskMemory(t, dir))
	for _, tag := range []string{"v1", "v2"} {
		lines := process(t, r, image(t, tag, layer("one", 1<<10)), "app:"+tag, diskMemory(t, dir))
		if n := strings.Count(strings.Join(lines, "\n"), "GET app manifest"); n != 1 {
			t.Errorf("%s: %d manifests asked for\n%s", tag, n, strings.Join(lines, "\n"))
		}
	}
}

// TestDiskMemoryDefault: without a folder, the memory is in the cache of the
// user.
func TestDiskMemoryDefault(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	t.Setenv("LocalAppData", cache)
	m, err := push.DiskMemory("")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(context.Background(), memoryHost, []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	root, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(segments(t, filepath.Join(root, "crossmount"))); n != 1 {
		t.Errorf("%d segments", n)
	}
	if _, err := push.New(push.WithMemory(nil)); err == nil {
		t.Error("a memory that is nil was taken")
	}
}
