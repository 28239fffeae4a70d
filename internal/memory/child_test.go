//go:build unix

package memory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The environment that makes the test binary a child of a test.
const (
	childRole   = "CROSSMOUNT_MEMORY_CHILD"
	childFolder = "CROSSMOUNT_MEMORY_FOLDER"
)

func TestMain(m *testing.M) {
	s := New(os.Getenv(childFolder))
	var err error
	switch os.Getenv(childRole) {
	case "":
		os.Exit(m.Run())
	case "hammer":
		err = hammer(s)
	case "reader":
		err = readOnly(s)
	case "full":
		err = full(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child returns a command that runs this binary in a role.
func child(t *testing.T, role, folder string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRole+"="+role, childFolder+"="+folder)
	return cmd
}

// content returns a segment that shows whether it is whole.
func content() []byte {
	body := bytes.Repeat([]byte{byte('a' + rand.IntN(26))}, 1+rand.IntN(16<<10))
	sum := sha256.Sum256(body)
	return append([]byte(hex.EncodeToString(sum[:])), body...)
}

func whole(segment []byte) bool {
	if len(segment) < 2*sha256.Size {
		return false
	}
	sum := sha256.Sum256(segment[2*sha256.Size:])
	return hex.EncodeToString(sum[:]) == string(segment[:2*sha256.Size])
}

// hammer saves and loads until its standard input ends. It fails when one of
// them does, or when a segment is not whole. It writes a line once it works.
func hammer(s *Store) error {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	ctx := context.Background()
	for round := 0; ; round++ {
		segments, err := s.Load(ctx, host)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		var replaces []string
		for _, g := range segments {
			if !whole(g.Content) {
				return fmt.Errorf("segment %s of %d bytes is not whole", g.Name, len(g.Content))
			}
			if len(segments) > 16 {
				replaces = append(replaces, g.Name)
			}
		}
		if err := s.Save(ctx, host, content(), replaces); err != nil {
			return fmt.Errorf("save: %w", err)
		}
		if round == 0 {
			fmt.Println("ready")
		}
		select {
		case <-done:
			return nil
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond): // room for the others
		}
	}
}

// hammering is a process that hammers.
type hammering struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer
}

func startHammer(t *testing.T, folder string) *hammering {
	t.Helper()
	h := &hammering{cmd: child(t, "hammer", folder), stderr: &bytes.Buffer{}}
	h.cmd.Stderr = h.stderr
	stdin, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.stdin = stdin
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		_ = h.cmd.Wait()
		t.Fatalf("child said %q, %v: %s", line, err, h.stderr)
	}
	return h
}

// TestManyProcesses lets 16 processes hammer one folder, and kills 200 of them,
// each at a random moment. No other one is disturbed, and nothing torn is ever
// read. With the race detector, whose processes start slowly, it kills fewer.
func TestManyProcesses(t *testing.T) {
	processes, kills := 16, 200
	if raceEnabled {
		kills = 30
	}
	folder := t.TempDir()
	children := make([]*hammering, processes)
	for i := range children {
		children[i] = startHammer(t, folder)
	}
	for range kills {
		i := rand.IntN(processes)
		time.Sleep(time.Duration(rand.IntN(10_000)) * time.Microsecond)
		if err := children[i].cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = children[i].cmd.Wait() // it was killed
		if s := children[i].stderr.String(); s != "" {
			t.Fatalf("before it was killed: %s", s)
		}
		children[i] = startHammer(t, folder)
	}
	for _, c := range children {
		_ = c.stdin.Close()
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, c.stderr)
		}
	}
	s := New(folder)
	segments, err := s.Load(context.Background(), host)
	if err != nil || len(segments) == 0 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	temps := 0
	later := time.Now().Add(-2 * maxAge)
	for _, path := range inside(t, folder) {
		if strings.HasPrefix(filepath.Base(path), tempPrefix) {
			temps++
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	save(t, s, host, "last")
	t.Logf("%d segments, %d temporary files of those that were killed", len(segments), temps)
	for _, path := range inside(t, folder) {
		if strings.HasPrefix(filepath.Base(path), tempPrefix) {
			t.Errorf("%s is left", path)
		}
	}
}

// readOnly gives up the right to write everywhere, and then tries to.
func readOnly(s *Store) error {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	if err := s.Save(context.Background(), host, []byte("b"), nil); err == nil {
		return fmt.Errorf("a folder that is read-only was saved to")
	}
	segments, err := s.Load(context.Background(), host)
	if err != nil || len(segments) != 1 || string(segments[0].Content) != "a" {
		return fmt.Errorf("read %q, %w", segments, err)
	}
	return nil
}

// TestReadOnly: a folder that cannot be written to is still read, and to save
// there is an error.
func TestReadOnly(t *testing.T) {
	folder, err := os.MkdirTemp("", "memory") // others must be able to reach it
	if err != nil {
		t.Fatal(err)
	}
	s := New(folder)
	save(t, s, host, "a")
	path := inside(t, folder)[0]
	for p, mode := range map[string]os.FileMode{path: 0o444, filepath.Dir(path): 0o555, folder: 0o555} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = os.Chmod(folder, 0o700)
		_ = os.Chmod(filepath.Dir(path), 0o700)
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if out, err := child(t, "reader", folder).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// full lets no file grow beyond 1000 bytes, as on a disk that is full.
func full(s *Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
		return err
	}
	if err := s.Save(context.Background(), host, make([]byte, 2000), []string{"x"}); err == nil {
		return fmt.Errorf("more was saved than there is room for")
	}
	return s.Save(context.Background(), host, make([]byte, 500), nil)
}

// TestFullDisk: a segment for which there is no room is an error, and leaves
// nothing behind.
func TestFullDisk(t *testing.T) {
	folder := t.TempDir()
	if out, err := child(t, "full", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if files := inside(t, folder); len(files) != 1 {
		t.Errorf("left are %q", files)
	}
	holds(t, New(folder), host, string(make([]byte, 500)))
}
