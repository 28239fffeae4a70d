// Command simulate shows how close pushes come to those of an oracle, which
// knows everything of the registry. It plays a thousand pushes of a CI against
// registries of every kind, without a network and always the same: with the
// plans of the package mount, with an oracle, and with the fixed recipes of
// other clients.
//
//	go run ./examples/simulate
package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"text/tabwriter"
)

func main() {
	if err := print(os.Stdout, simulate(numPushes)); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// client pushes to registries.
type client interface {
	push(r *registry, b build)
}

// named is a client with its name in the table.
type named struct {
	name string
	client
}

// clients returns clients that have pushed nothing yet, the oracle first.
func clients() []named {
	return []named{
		{"oracle", oracle{map[string]string{}}},
		{"crossmount", planned{newMemory()}},
		{"ggcr", recipe{ping: true, upload: 2}},
		{"oras, containerd", recipe{upload: 1}},
		{"regclient", recipe{discard: true, asksAny: true, upload: 1}},
	}
}

// result is what the pushes of one client to one registry cost.
type result struct {
	registry, client string
	pushes           int
	whole, late      cost // of all pushes, and of the second half
}

// simulate plays n pushes for every client on every registry.
func simulate(n int) []result {
	bases, pushes := workload(n)
	kinds, each := truths(), len(clients())
	results := make([]result, len(kinds)*each)
	var wg sync.WaitGroup
	for i, t := range kinds {
		wg.Go(func() {
			for j, c := range clients() {
				results[i*each+j] = play(c, newRegistry(t), bases, pushes)
			}
		})
	}
	wg.Wait()
	return results
}

// play makes the pushes of one client to a registry that holds the bases.
func play(c named, r *registry, bases map[string]image, pushes []build) result {
	for name, img := range bases {
		for _, b := range img.blobs {
			r.link(name, b.Digest)
		}
		r.keep(name, "latest", img)
	}
	var half cost
	for i, b := range pushes {
		if i == len(pushes)/2 {
			half = r.cost
		}
		c.push(r, b)
	}
	late := cost{r.requests - half.requests, r.bytes - half.bytes}
	return result{r.name, c.name, len(pushes), r.cost, late}
}

// over returns how many times the requests and the bytes of another cost c is.
func (c cost) over(other cost) (requests, bytes float64) {
	return float64(c.requests) / float64(other.requests), float64(c.bytes) / float64(other.bytes)
}

// print writes the table: the mean of a push, and how often it is that of the
// oracle.
func print(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d pushes\trequests\tMB\trequests/oracle\t2nd half\tbytes/oracle\t2nd half\t\n", results[0].pushes)
	var best result
	for _, r := range results {
		if r.registry != best.registry {
			best = r
			fmt.Fprintf(w, "%s\t\t\t\t\t\t\t\n", r.registry)
		}
		requests, bytes := r.whole.over(best.whole)
		lateRequests, lateBytes := r.late.over(best.late)
		n := float64(r.pushes)
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", r.client,
			float64(r.whole.requests)/n, float64(r.whole.bytes)/n/1e6, requests, lateRequests, bytes, lateBytes)
	}
	return w.Flush()
}
