// Compare counts the requests and bytes that several clients need for the same
// pushes, to distribution and to the test registry of this project, and prints
// them as tables. Nothing is timed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/e2e/clients"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/internal/e2e/scenarios"
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

func main() {
	only := flag.String("registry", "", "the only registry to push to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// kinds returns the registries that are compared on.
func kinds() []registries.Kind {
	return []registries.Kind{
		registries.Distribution(),
		registries.DistributionWithTokens(registries.Everybody(), false),
		registries.Test("registrytest", registrytest.Behaviour{}),
		registries.Test("registrytest that discovers", registrytest.Behaviour{Discovery: registrytest.DiscoveryOn}),
	}
}

// run prints a table for each registry, or for the one with the name only.
func run(ctx context.Context, out io.Writer, only string) error {
	found := false
	for _, k := range kinds() {
		if only != "" && k.Name != only {
			continue
		}
		found = true
		if _, err := compare(ctx, out, k); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("there is no registry %q", only)
	}
	return ctx.Err()
}

// cost is what one push took.
type cost struct {
	requests int // to the registry
	tokens   int // requests to the token server
	bytes    int64
}

// String prints requests, with tokens if there were any, and KiB.
func (c cost) String() string {
	tokens := ""
	if c.tokens > 0 {
		tokens = fmt.Sprintf("+%d", c.tokens)
	}
	return fmt.Sprintf("%d%s/%d", c.requests, tokens, c.bytes>>10)
}

// add adds another cost.
func (c *cost) add(o cost) {
	c.requests += o.requests
	c.tokens += o.tokens
	c.bytes += o.bytes
}

// all counts requests of both sorts.
func (c cost) all() int { return c.requests + c.tokens }

// ratio says how much more than the first client another one took.
func ratio(first, other cost) string {
	if other.all() == 0 || first.all() == 0 {
		return "-"
	}
	return fmt.Sprintf("x%.1f", float64(other.all())/float64(first.all()))
}

// line is what each client took for a scenario.
type line struct {
	scenario string
	costs    []cost
}

// compare prints the table of one registry, and returns its lines. The last one is
// that of all scenarios together.
func compare(ctx context.Context, out io.Writer, k registries.Kind) ([]line, error) {
	fmt.Fprintf(out, "%s: requests [+ requests for tokens] / KiB of blobs, and requests as a multiple of the first\n", k.Name)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\t")
	for _, c := range clients.All() {
		fmt.Fprintf(w, "%s\t\t", c.Name)
	}
	fmt.Fprintln(w)
	var lines []line
	all := line{"all", make([]cost, len(clients.All()))}
	for _, s := range scenarios.All() {
		if len(s.Options) > 0 {
			continue // others have no such option
		}
		costs, err := race(ctx, w, k, s)
		if err != nil {
			return nil, err
		}
		for i, c := range costs {
			all.costs[i].add(c)
		}
		lines = append(lines, line{s.Name, costs})
	}
	row(w, all.scenario, all.costs, nil)
	fmt.Fprintln(w)
	return append(lines, all), w.Flush()
}

// race pushes one scenario with each client and prints what it took.
func race(ctx context.Context, w io.Writer, k registries.Kind, s scenarios.Scenario) ([]cost, error) {
	costs := make([]cost, len(clients.All()))
	failures := make([]error, len(costs))
	for i, c := range clients.All() {
		costs[i], failures[i] = measure(ctx, k, s, c)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	row(w, s.Name, costs, failures)
	return costs, failures[0]
}

// row writes a line of the table. A push that failed shows that it did.
func row(w io.Writer, title string, costs []cost, failures []error) {
	fmt.Fprintf(w, "%s\t", title)
	for i, c := range costs {
		if failures != nil && failures[i] != nil {
			fmt.Fprint(w, "fails\t\t")
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t", c, ratio(costs[0], c))
	}
	fmt.Fprintln(w)
}

// measure pushes one scenario with one client and counts.
func measure(ctx context.Context, k registries.Kind, s scenarios.Scenario, c clients.Kind) (total cost, err error) {
	server, err := k.Start(ctx)
	if err != nil {
		return cost{}, err
	}
	defer server.Close()
	keychain := server.Keychain(registries.Admin)
	client, err := c.New(server.Host, keychain)
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	job, err := s.Prepare(ctx, &scenarios.Stage{Host: server.Host, Keychain: keychain, Push: func(image push.Image, refs ...name.Reference) error {
		if err := client.Load(ctx, scenarios.Job{Image: image, Refs: refs}); err != nil {
			return err
		}
		return client.Push(ctx)
	}})
	if err != nil {
		return cost{}, err
	}
	if err := client.Load(ctx, job); err != nil {
		return cost{}, err
	}
	server.Reset()
	if err := client.Push(ctx); err != nil {
		return cost{}, fmt.Errorf("%s pushes %s to %s: %w", c.Name, s.Name, k.Name, err)
	}
	// Reading the source is a part of the copy for some clients and of the
	// preparation for others, so it counts for none.
	sum := server.Log.Sum("base", "staging")
	total = cost{requests: sum.Requests, bytes: sum.Bytes}
	if server.Tokens != nil {
		total.tokens = server.Tokens.Log.Sum().Requests
	}
	return total, nil
}
