package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/internal/e2e/scenarios"
	"github.com/crossmount/crossmount/internal/e2e/traffic"
	"github.com/crossmount/crossmount/push"
)

// table collects what each push cost.
type table struct {
	// mu guards cells.
	mu    sync.Mutex
	cells map[string]traffic.Sum
}

// note keeps the cost of a scenario on a registry.
func (tb *table) note(registry, scenario string, concurrency int, s traffic.Sum) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.cells[fmt.Sprint(registry, "|", scenario, "|", concurrency)] = s
}

// print writes the table, a line for each scenario.
func (tb *table) print(kinds []registries.Kind) string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "requests / KiB of blobs, one at a time; 16 at once\t")
	for _, k := range kinds {
		fmt.Fprintf(w, "%s\t", k.Name)
	}
	fmt.Fprintln(w)
	for _, sc := range scenarios.All() {
		fmt.Fprintf(w, "%s\t", sc.Name)
		for _, k := range kinds {
			for i, n := range concurrencies() {
				s := tb.cells[fmt.Sprint(k.Name, "|", sc.Name, "|", n)]
				fmt.Fprintf(w, "%s%d/%d", strings.Repeat("; ", i), s.Requests, s.Bytes>>10)
			}
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory
	return text.String()
}

// concurrencies are the numbers of requests at once with which everything is
// pushed.
func concurrencies() []int { return []int{1, 16} }

// TestMatrix pushes every scenario to every registry.
func TestMatrix(t *testing.T) {
	kinds, leftOut := registries.All()
	for _, name := range leftOut {
		t.Logf("left out: %s is not installed", name)
	}
	costs := &table{cells: map[string]traffic.Sum{}}
	t.Run("push", func(t *testing.T) {
		for _, k := range kinds {
			for _, sc := range scenarios.All() {
				for _, n := range concurrencies() {
					t.Run(fmt.Sprintf("%s/%s/%d", k.Name, sc.Name, n), func(t *testing.T) {
						t.Parallel()
						costs.note(k.Name, sc.Name, n, play(t, k, sc, n))
					})
				}
			}
		}
	})
	t.Logf("\n%s", costs.print(kinds))
}

// play pushes one scenario and returns what it cost.
func play(t *testing.T, k registries.Kind, sc scenarios.Scenario, concurrency int) traffic.Sum {
	ctx := t.Context()
	server := start(t, k)
	keychain := server.Keychain(registries.Admin)
	p := pusher(t, keychain, append(slices.Clone(sc.Options), push.WithConcurrency(concurrency))...)
	job, err := sc.Prepare(ctx, &scenarios.Stage{Host: server.Host, Keychain: keychain, Push: func(image push.Image, refs ...name.Reference) error {
		_, err := p.Push(ctx, image, refs...)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	server.Reset()
	report, err := p.Push(ctx, job.Image, job.Refs...)
	if err != nil {
		t.Fatalf("push: %v\n%s\n%s", err, report, lines(server.Log))
	}
	// What ggcr reads of a pulled image, when the registry does not mount it, is
	// no part of the push.
	sum := server.Log.Sum("base", "staging")
	t.Logf("%d requests, %d bytes\n%s\n%s", sum.Requests, sum.Bytes, lines(server.Log), report)
	if report.Requests != sum.Requests || report.Sent != sum.Bytes {
		t.Errorf("the report says %d requests and %d bytes, the registry %d and %d", report.Requests, report.Sent, sum.Requests, sum.Bytes)
	}
	bound(t, k, sc, server, report, sum)
	checkRefs(t, report, job, keychain, !sc.NoArchive)
	return sum
}

// bound holds the cost of a push to that of its scenario.
func bound(t *testing.T, k registries.Kind, sc scenarios.Scenario, server *registries.Server, report *push.Report, sum traffic.Sum) {
	requests, layers := sc.Requests, sc.Layers
	if server.Tokens != nil {
		requests++ // the one that is answered by the challenge
		if n := server.Tokens.Log.Sum().Requests; n > 1 {
			t.Errorf("%d tokens were asked for, want one at most", n)
		}
	}
	if !k.Mounts {
		layers = 0 // of which each may be sent
		for _, b := range report.Blobs {
			layers += int(b.Size / images.LayerSize)
		}
	}
	if k.Distribution && sum.Requests > requests {
		t.Errorf("%d requests, want at most %d", sum.Requests, requests)
	}
	if got := int(sum.Bytes / images.LayerSize); got > layers {
		t.Errorf("%d layers were sent, want at most %d", got, layers)
	}
}

// checkRefs pulls every reference back.
func checkRefs(t *testing.T, report *push.Report, job scenarios.Job, keychain authn.Keychain, archives bool) {
	t.Helper()
	want, err := job.Image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if report.Digest.String() != want.String() || len(report.Refs) != len(job.Refs) {
		t.Errorf("the report has digest %s and %d references, want %s and %d", report.Digest, len(report.Refs), want, len(job.Refs))
	}
	for i, ref := range job.Refs {
		if !report.Refs[i].Stands {
			t.Errorf("by the report %s does not stand", ref)
		}
		checkRef(t, ref, want, keychain, archives)
	}
}

// checkRef pulls one reference back.
func checkRef(t *testing.T, ref name.Reference, want v1.Hash, keychain authn.Keychain, archives bool) {
	t.Helper()
	if err := pullBack(t.Context(), ref, want, keychain, archives); err != nil {
		t.Error(err)
	}
}

// start starts a registry that runs until the test ends.
func start(t *testing.T, k registries.Kind) *registries.Server {
	t.Helper()
	server, err := k.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// pusher returns a Pusher with connections of its own.
func pusher(t *testing.T, keychain authn.Keychain, opts ...push.Option) *push.Pusher {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	p, err := push.New(append([]push.Option{push.WithKeychain(keychain), push.WithTransport(transport)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lines prints the requests that reached a server.
func lines(l *traffic.Log) string {
	var b strings.Builder
	for _, e := range l.Entries() {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}
