package push_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// memoryHost is the host that the tests of the memory push to, without a
// network.
const memoryHost = "registry.example:5000"

// diskMemory returns an option for the memory in a folder, as each process makes
// one.
func diskMemory(t testing.TB, dir string) push.Option {
	t.Helper()
	m, err := push.DiskMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return push.WithMemory(m)
}

// build returns a build of an image of nine layers, of which the last changes
// from build to build, as the config does.
func build(t testing.TB, n, size int) v1.Image {
	return image(t, fmt.Sprint("build", n), append(layers("kept", 8, size), layer(fmt.Sprint("build", n), size))...)
}

// process pushes as a process that knows nothing but what the options give it,
// and returns the requests that it took.
func process(t testing.TB, r *registrytest.Registry, img v1.Image, to string, opts ...push.Option) (lines []string) {
	t.Helper()
	r.ResetLog()
	opts = append([]push.Option{push.WithTransport(registrytest.Network{memoryHost: r}), alice()}, opts...)
	report, err := pusher(t, opts...).Push(context.Background(), img, ref(t, memoryHost, to))
	lines = r.Lines()
	if err != nil {
		t.Fatalf("push: %v\n%s", err, strings.Join(lines, "\n"))
	}
	repo, tag, _ := strings.Cut(to, ":")
	if err := r.Complete(repo, tag); err != nil {
		t.Error(err)
	}
	if report.Requests != len(lines) {
		t.Errorf("report counts %d requests, the registry %d", report.Requests, len(lines))
	}
	return lines
}

// segments returns the paths of what is kept in a folder.
func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestMemory pushes with one process after the other that share nothing but a
// folder.
func TestMemory(t *testing.T) {
	type registry = registrytest.Registry
	for _, c := range []struct {
		name     string
		push     func(t *testing.T, r *registry, memory push.Option) []string
		requests int
		layers   int64
	}{
		{"new tag, one layer and config changed", func(t *testing.T, r *registry, memory push.Option) []string {
			return process(t, r, build(t, 2, layerSize), "app:v2", memory)
		}, 6, 1},
		{"new tag, same image", func(t *testing.T, r *registry, memory push.Option) []string {
			return process(t, r, build(t, 1, layerSize), "app:v2", memory)
		}, 3, 0},
		{"same tag, same image", func(t *testing.T, r *registry, memory push.Option) []string {
			return process(t, r, build(t, 1, layerSize), "app:v1", memory)
		}, 1, 0},
		{"other repository", func(t *testing.T, r *registry, memory push.Option) []string {
			return process(t, r, build(t, 2, layerSize), "copy:v1", memory)
		}, 16, 1},
		{"tenth build", func(t *testing.T, r *registry, memory push.Option) []string {
			for i := 2; i < 10; i++ {
				process(t, r, build(t, i, layerSize), fmt.Sprint("app:v", i), memory)
			}
			return process(t, r, build(t, 10, layerSize), "app:v10", memory)
		}, 6, 1},
		{"last manifest gone", func(t *testing.T, r *registry, memory push.Option) []string {
			empty := registrytest.New(registrytest.Behaviour{})
			cold := len(process(t, empty, build(t, 2, layerSize), "other:v2"))
			lines := process(t, empty, build(t, 2, layerSize), "app:v2", memory)
			if extra := len(lines) - cold; extra > 12 {
				t.Errorf("%d requests more than without a memory\n%s", extra, strings.Join(lines, "\n"))
			}
			return process(t, empty, build(t, 3, layerSize), "app:v3", memory)
		}, 8, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{})
			dir := t.TempDir()
			process(t, r, build(t, 1, layerSize), "app:v1", diskMemory(t, dir))
			r.ResetLog()
			lines := c.push(t, r, diskMemory(t, dir))
			t.Logf("%d requests\n%s", len(lines), strings.Join(lines, "\n"))
			lines, lesson := beforeLesson(lines)
			if len(lines) > c.requests || len(lesson) > 2 {
				t.Errorf("%d requests, want at most %d, and %d at the end", len(lines), c.requests, len(lesson))
			}
			if n := r.Count().Bytes / layerSize; n != c.layers {
				t.Errorf("%d layers sent, want %d", n, c.layers)
			}
			if n := len(segments(t, dir)); n > 10 {
				t.Errorf("%d segments", n)
			}
		})
	}
}

// A push that learns nothing new writes nothing.
func TestMemoryWritesWhatIsNew(t *testing.T) {
	r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
	for range 5 {
		process(t, r, build(t, 1, 1<<10), "app:v1", diskMemory(t, dir))
	}
	if n := len(segments(t, dir)); n > 2 {
		t.Errorf("%d segments after five pushes of the same", n)
	}
}

// However many processes push, what they leave is few segments.
func TestMemoryStaysSmall(t *testing.T) {
	r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
	for i := range 60 {
		process(t, r, build(t, i, 1<<10), fmt.Sprint("app:v", i), diskMemory(t, dir))
		if n := len(segments(t, dir)); n > 18 {
			t.Fatalf("%d segments after %d pushes", n, i+1)
		}
	}
	p := pusher(t, push.WithTransport(registrytest.Network{memoryHost: r}), diskMemory(t, dir))
	for i := range 60 {
		if _, err := p.Push(context.Background(), build(t, i+100, 1<<10), ref(t, memoryHost, "app:v1")); err != nil {
			t.Fatal(err)
		}
		if n := len(segments(t, dir)); n > 40 {
			t.Fatalf("%d segments after %d pushes of one process", n, i+1)
		}
	}
	lines := process(t, r, build(t, 1000, 1<<10), "app:new", diskMemory(t, dir))
	if len(lines) > 8 {
		t.Errorf("%d requests\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// Two ports of one host know nothing of each other.
func TestMemoryPortsApart(t *testing.T) {
	dir := t.TempDir()
	one, two := registrytest.Start(t, registrytest.Behaviour{}), registrytest.Start(t, registrytest.Behaviour{})
	img := build(t, 1, 1<<10)
	for _, srv := range []*registrytest.Server{one, two} {
		if _, err := pusher(t, diskMemory(t, dir)).Push(context.Background(), img, ref(t, srv.Host, "app"+srv.Host[len(srv.Host)-1:]+"/x:v1")); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range two.Registry.Lines() {
		if strings.Contains(l, "from=app"+one.Host[len(one.Host)-1:]+"/x") && one.Host[len(one.Host)-1] != two.Host[len(two.Host)-1] {
			t.Errorf("a repository of the other port is named: %s", l)
		}
	}
	folders, err := os.ReadDir(dir)
	if err != nil || len(folders) != 2 {
		t.Errorf("%d folders for two ports; %v", len(folders), err)
	}
}

// What is kept holds no credential, nor anything that was made from one.
func TestMemoryHoldsNoCredential(t *testing.T) {
	dir := t.TempDir()
	const user, password = "alice", "wonder"
	a := startAuthorized(t, registrytest.Behaviour{}, registrytest.TokenBehaviour{})
	var secrets []string
	for i := range 2 {
		if _, err := pusher(t, alice(), diskMemory(t, dir)).Push(context.Background(), build(t, i, 1<<10), ref(t, a.Host, fmt.Sprint("team/app:v", i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range a.Registry.Log() {
		for _, header := range []string{"Authorization", "Cookie"} {
			if v := e.Header.Get(header); v != "" {
				_, token, _ := strings.Cut(v, " ")
				secrets = append(secrets, v, token, digest.FromString(v).Encoded(), digest.FromString(token).Encoded())
			}
		}
	}
	if len(secrets) == 0 {
		t.Fatal("no credential was sent")
	}
	secrets = append(secrets, user, password, digest.FromString(password).Encoded(), "Bearer", "Basic", "YWxpY2U6")
	paths := segments(t, dir)
	if len(paths) == 0 {
		t.Fatal("nothing was kept")
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(content, []byte("team/app")) {
			t.Errorf("%s holds nothing of the push: %s", path, content)
		}
		for _, s := range secrets {
			if bytes.Contains(content, []byte(s)) {
				t.Errorf("%s holds %q", path, s)
			}
		}
	}
}

// A torn or edited file is not used, and is replaced.
func TestMemoryCorrupt(t *testing.T) {
	for name, spoil := range map[string]func(content []byte) []byte{
		"torn":   func(b []byte) []byte { return b[:len(b)/2] },
		"empty":  func([]byte) []byte { return nil },
		"edited": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"app"`), []byte(`"spy"`)) },
		"zeros":  func(b []byte) []byte { return make([]byte, len(b)) },
	} {
		t.Run(name, func(t *testing.T) {
			r, dir := registrytest.New(registrytest.Behaviour{}), t.TempDir()
			process(t, r, build(t, 1, 1<<10), "app:v1", diskMemory(t, dir))
			paths := segments(t, dir)
			for _, path := range paths {
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, spoil(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cold := len(process(t, r, build(t, 2, 1<<10), "app:v2"))
			spoilt, _ := beforeLesson(process(t, r, build(t, 3, 1<<10), "app:v3", diskMemory(t, dir)))
			if len(spoilt) != cold {
				t.Errorf("%d requests, without a memory %d\n%s", len(spoilt), cold, strings.Join(spoilt, "\n"))
			}
			for _, path := range paths {
				if _, err := os.Stat(path); err == nil {
					t.Errorf("%s is still there", path)
				}
			}
			if n := len(process(t, r, build(t, 4, 1<<10), "app:v4", diskMemory(t, dir))); n > 8 {
				t.Errorf("%d requests of the next push", n)
			}
		})
	}
}
