package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const host = "registry.example:5000"

// save saves content, and fails the test if it cannot.
func save(t testing.TB, s *Store, host, content string, replaces ...string) {
	t.Helper()
	if err := s.Save(context.Background(), host, []byte(content), replaces); err != nil {
		t.Fatal(err)
	}
}

// load returns what is kept of a host: names by content.
func load(t testing.TB, s *Store, host string) map[string]string {
	t.Helper()
	segments, err := s.Load(context.Background(), host)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, g := range segments {
		names[string(g.Content)] = g.Name
	}
	if len(names) != len(segments) {
		t.Fatalf("%d segments hold %d contents", len(segments), len(names))
	}
	return names
}

// holds fails the test unless exactly these contents are kept.
func holds(t *testing.T, s *Store, host string, want ...string) {
	t.Helper()
	var got []string
	for content := range load(t, s, host) {
		got = append(got, content)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("kept of %s: %q, want %q", host, got, want)
	}
}

// inside returns the paths of all files below a folder.
func inside(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSaveAndLoad(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "not", "yet"))
	holds(t, s, host)
	save(t, s, host, "a")
	holds(t, s, host, "a")
	save(t, s, host, "b")
	holds(t, s, host, "a", "b")
	names := load(t, s, host)
	save(t, s, host, "c", names["a"], names["b"])
	holds(t, s, host, "c")
	save(t, s, host, "d", names["a"]) // it is gone already
	holds(t, s, host, "c", "d")
	holds(t, New(s.root), host, "c", "d")
}

// Hosts are apart, whatever their names, and each has a folder in the store.
func TestHostsApart(t *testing.T) {
	root := t.TempDir()
	s := New(filepath.Join(root, "store"))
	hosts := []string{
		"registry.example", "registry.example:443", host, "registry.example:5001", "registry.example.", "REGISTRY.example",
		"[::1]:5000", "..", ".", "../../escaped", "a/b", `a\b`, "a%2Fb", "é", "nul\x00", "a b", "~", "C:",
	}
	for i, h := range hosts {
		save(t, s, h, fmt.Sprint(i))
	}
	for i, h := range hosts {
		holds(t, s, h, fmt.Sprint(i))
	}
	folders, err := os.ReadDir(s.root)
	if err != nil {
		t.Fatal(err)
	}
	folded := map[string]bool{}
	for _, f := range folders {
		folded[strings.ToLower(f.Name())] = true
	}
	if len(folded) != len(hosts) || len(inside(t, root)) != len(hosts) {
		t.Errorf("%d folders, %d files for %d hosts", len(folded), len(inside(t, root)), len(hosts))
	}
	if err := s.Save(context.Background(), "", []byte("x"), nil); err == nil {
		t.Error("a host without a name was taken")
	}
}

// A name to replace is that of a segment in the folder, or nothing.
func TestReplacesStaysInside(t *testing.T) {
	root := t.TempDir()
	s := New(filepath.Join(root, "store"))
	save(t, s, host, "a")
	save(t, s, "other", "b")
	theirs := load(t, s, "other")["b"]
	precious := filepath.Join(root, "precious.json")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	save(t, s, host, "c", "../../precious.json", precious, "../other/"+theirs, theirs, "", ".", "..", "*")
	holds(t, s, host, "a", "c")
	holds(t, s, "other", "b")
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// What is no segment is not read, and stays; temporary files go when they are
// old.
func TestForeignFiles(t *testing.T) {
	s := New(t.TempDir())
	save(t, s, host, "a")
	name := load(t, s, host)["a"]
	folder := filepath.Join(s.root, escape(host))
	put := func(name string, age time.Duration) {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	old, young := tempPrefix+"OLD", tempPrefix+"YOUNG"
	put(old, maxAge+time.Minute)
	put(young, maxAge-time.Minute)
	for _, n := range []string{"README", "a.json", strings.ToLower(name), name + ".bak", ".json"} {
		put(n, 100*maxAge)
	}
	if err := os.Mkdir(filepath.Join(folder, strings.Repeat("A", nameLength)+suffix), 0o700); err != nil {
		t.Fatal(err)
	}
	holds(t, s, host, "a")
	save(t, s, host, "b")
	holds(t, s, host, "a", "b")
	var left []string
	for _, f := range inside(t, folder) {
		left = append(left, filepath.Base(f))
	}
	if slices.Contains(left, old) || !slices.Contains(left, young) || len(left) != 8 {
		t.Errorf("left are %q", left)
	}
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has other permissions
	}
	s := New(filepath.Join(t.TempDir(), "a", "b"))
	save(t, s, host, "a")
	for path, want := range map[string]os.FileMode{
		filepath.Dir(s.root): 0o700, s.root: 0o700, filepath.Join(s.root, escape(host)): 0o700, inside(t, s.root)[0]: 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// aged sets the time of each segment, so that they are in the order of their
// contents.
func aged(t *testing.T, s *Store, host string, contents []string) {
	t.Helper()
	names := load(t, s, host)
	for i, c := range contents {
		at := time.Now().Add(time.Duration(i-len(contents)) * time.Minute)
		if err := os.Chtimes(filepath.Join(s.root, escape(host), names[c]), at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// Beyond 256 segments, or 8 MiB, the oldest go.
func TestBounds(t *testing.T) {
	const mega = 1 << 20
	for _, tt := range []struct {
		name        string
		count, size int // of the segments that are there
		kept        int // of them, with one more of the same size
	}{
		{"few", 10, 100, 10},
		{"just enough", maxSegments - 1, 100, maxSegments - 1},
		{"too many", maxSegments, 100, maxSegments - 1},
		{"just small enough", 7, mega, 7},
		{"too large", 8, mega, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(t.TempDir())
			var contents []string
			for i := range tt.count {
				content := fmt.Sprintf("%05d", i) + strings.Repeat("x", tt.size-5)
				contents = append(contents, content)
				save(t, s, host, content)
			}
			aged(t, s, host, contents)
			last := strings.Repeat("y", tt.size)
			save(t, s, host, last)
			holds(t, s, host, append(contents[len(contents)-tt.kept:], last)...)
			if n := len(inside(t, s.root)); n != tt.kept+1 {
				t.Errorf("%d files", n)
			}
		})
	}
	s := New(t.TempDir())
	if err := s.Save(context.Background(), host, make([]byte, maxBytes+1), nil); !errors.Is(err, errLarge) {
		t.Errorf("more than all: %v", err)
	}
	holds(t, s, host)
}

// A folder that others have filled costs a bounded amount of work.
func TestHostileFolder(t *testing.T) {
	s := New(t.TempDir())
	folder := filepath.Join(s.root, escape(host))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	digits := strings.NewReplacer("0", "A", "1", "B", "8", "X", "9", "Y")
	name := func(i int) string {
		return filepath.Join(folder, digits.Replace(fmt.Sprintf("%0*d", nameLength, i))+suffix)
	}
	for i := range maxEntries + 1000 {
		if err := os.WriteFile(name(i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	huge := name(99999)
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<30); err != nil {
		t.Fatal(err)
	}
	segments, err := s.Load(context.Background(), host)
	if err != nil || len(segments) > maxSegments {
		t.Errorf("%d segments, %v", len(segments), err)
	}
	for range 2 {
		save(t, s, host, "a")
	}
	if n := len(inside(t, folder)); n > maxSegments+1000 {
		t.Errorf("%d files are left", n)
	}
	if _, err := os.Stat(huge); err == nil {
		t.Error("the huge file is left")
	}
	segments, err = s.Load(context.Background(), host)
	if err != nil || !slices.ContainsFunc(segments, func(g Segment) bool { return bytes.Equal(g.Content, []byte("a")) }) {
		t.Errorf("what was saved is not among %d segments; %v", len(segments), err)
	}
}

// Without a folder nothing is kept, and the caller is told.
func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	under := New(t.TempDir())
	if err := os.WriteFile(filepath.Join(under.root, escape(host)), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Store{"file in place of the store": New(file), "file in place of the host": under} {
		t.Run(name, func(t *testing.T) {
			if err := s.Save(context.Background(), host, []byte("a"), nil); err == nil {
				t.Error("no error to save")
			}
			if segments, err := s.Load(context.Background(), host); err == nil || len(segments) > 0 {
				t.Errorf("%d segments, error %v", len(segments), err)
			}
		})
	}
}

func TestContext(t *testing.T) {
	s := New(t.TempDir())
	save(t, s, host, "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Save(ctx, host, []byte("b"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("save: %v", err)
	}
	if _, err := s.Load(ctx, host); !errors.Is(err, context.Canceled) {
		t.Errorf("load: %v", err)
	}
	holds(t, s, host, "a")
}

// meddling is a context that meddles when it is first asked.
type meddling struct {
	context.Context
	once   *sync.Once
	meddle func()
}

func (c meddling) Err() error {
	c.once.Do(c.meddle)
	return nil
}

// What is replaced while it is being loaded is found in what replaced it.
func TestReplacedWhileLoaded(t *testing.T) {
	s := New(t.TempDir())
	save(t, s, host, "a")
	save(t, s, host, "b")
	names := load(t, s, host)
	ctx := meddling{context.Background(), &sync.Once{}, func() { save(t, s, host, "ab", names["a"], names["b"]) }}
	segments, err := s.Load(ctx, host)
	if err != nil || len(segments) != 1 || string(segments[0].Content) != "ab" {
		t.Errorf("loaded %q, %v", segments, err)
	}
}
