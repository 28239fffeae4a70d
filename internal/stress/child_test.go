package stress_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/push"
)

// jobKey is the environment variable that makes this binary a child with a job.
const jobKey = "CROSSMOUNT_STRESS_JOB"

// TestMain runs the tests, or in a child process its job.
func TestMain(m *testing.M) {
	if text := os.Getenv(jobKey); text != "" {
		os.Exit(work(text))
	}
	flag.Uint64("seed", 1, "of the random moments at which pushes are killed, cut and cancelled")
	flag.Int64("bytes", 4<<30, "size of the largest layer whose push is measured")
	os.Exit(m.Run())
}

// flagged returns the value of a flag of this package.
func flagged[T any](name string) T {
	return flag.Lookup(name).Value.(flag.Getter).Get().(T)
}

// job is what a child process is to do: to push an image.
type job struct {
	Ref         string
	Base        string // a repository that is worth trying to mount from, or ""
	ID          string // makes the image's config its own
	Layers      []layer
	Concurrency int // 0 is the default
}

// result is what a child process says of its push.
type result struct {
	Sent     int64
	Requests int
	Idle     uint64 // heap and stacks in use before the push, in bytes
	Peak     uint64 // the most of them during the push
	Samples  int
	Took     time.Duration
}

// work does a job and returns the exit code.
func work(text string) int {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	r, err := j.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

func (j job) run() (result, error) {
	ref, err := name.ParseReference(j.Ref)
	if err != nil {
		return result{}, err
	}
	opts := []push.Option{anonymous()}
	if j.Concurrency > 0 {
		opts = append(opts, push.WithConcurrency(j.Concurrency))
	}
	if j.Base != "" {
		base, err := name.NewRepository(j.Base)
		if err != nil {
			return result{}, err
		}
		opts = append(opts, push.WithSources(base))
	}
	p, err := push.New(opts...)
	if err != nil {
		return result{}, err
	}
	img, err := makeImage(j.ID, j.Layers)
	if err != nil {
		return result{}, err
	}
	m := measure()
	began := time.Now()
	report, err := p.Push(context.Background(), img, ref)
	took := time.Since(began)
	r := m.end()
	r.Sent, r.Requests, r.Took = report.Sent, report.Requests, took
	return r, err
}

// anonymous keeps the credentials of whoever runs the tests out of them.
func anonymous() push.Option { return push.WithKeychain(authn.NewMultiKeychain()) }

// meter samples the memory of the process.
type meter struct {
	stop chan struct{}
	done chan result
}

// measure takes the memory that is in use now for that of the idle process, and
// then samples it every five milliseconds.
func measure() meter {
	runtime.GC()
	idle := inUse()
	m := meter{stop: make(chan struct{}), done: make(chan result)}
	go func() {
		r := result{Idle: idle}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.Peak = max(r.Peak, inUse())
				r.Samples++
			case <-m.stop:
				r.Peak = max(r.Peak, inUse())
				m.done <- r
				return
			}
		}
	}()
	return m
}

func (m meter) end() result {
	close(m.stop)
	return <-m.done
}

func inUse() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapInuse + s.StackInuse
}

// child is a process that does a job.
type child struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

// spawn starts a child process.
func spawn(t testing.TB, j job) *child {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.CommandContext(t.Context(), exe)}
	c.cmd.Env = append(os.Environ(), jobKey+"="+string(text))
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// finish waits for the child to end well and returns what it says.
func (c *child) finish(t testing.TB) result {
	t.Helper()
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("child: %v\n%s", err, &c.err)
	}
	var r result
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
		t.Fatalf("child: %v\n%s", err, &c.out)
	}
	return r
}

// kill ends the child at once, and says whether it was still at work.
func (c *child) kill(t testing.TB) bool {
	t.Helper()
	_ = c.cmd.Process.Kill() // fails when the child has ended
	err := c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); err != nil && code != -1 {
		t.Fatalf("child: exit code %d\n%s", code, &c.err)
	}
	return err != nil
}

// transport returns a transport of the test's own, without connections of
// others, which keeps those that it has.
func transport(t testing.TB) *http.Transport {
	t.Helper()
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.MaxIdleConnsPerHost = own.MaxIdleConns
	t.Cleanup(own.CloseIdleConnections)
	return own
}

// reference parses a reference on the server.
func reference(t testing.TB, addr, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(addr + "/" + s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// pusher returns a Pusher with anonymous access.
func pusher(t testing.TB, opts ...push.Option) *push.Pusher {
	t.Helper()
	p, err := push.New(append([]push.Option{anonymous()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
