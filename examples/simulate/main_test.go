package main

import (
	"slices"
	"strings"
	"testing"
)

// maxOver is how many times the requests, and the bytes, of the oracle the second
// half of the pushes may take. What is over is mostly for very large layers, which
// go out in a form that can be resumed, and some of which are asked for.
const maxOver = 1.05

func TestSimulate(t *testing.T) {
	results := simulate(numPushes)
	var out strings.Builder
	if err := print(&out, results); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &out)
	if want := len(truths()) * len(clients()); len(results) != want || strings.Count(out.String(), "\n") != want+len(truths())+1 {
		t.Fatalf("%d results, want %d", len(results), want)
	}
	for all := range slices.Chunk(results, len(clients())) {
		best, ours := all[0], all[1]
		requests, bytes := ours.late.over(best.late)
		if requests > maxOver || bytes > maxOver {
			t.Errorf("%s: %.3f times the requests of the oracle and %.3f times the bytes", ours.registry, requests, bytes)
		}
		if _, bytes := ours.whole.over(best.whole); bytes > 1.05 {
			t.Errorf("%s: %.3f times the bytes of the oracle in all", ours.registry, bytes)
		}
		for _, c := range all {
			if r, b := c.whole.over(best.whole); r < 1 || b < 1 {
				t.Errorf("%s: %s is better than the oracle: %.3f requests, %.3f bytes", c.registry, c.client, r, b)
			}
		}
		for _, peer := range all[2:] {
			if ours.whole.requests >= peer.whole.requests || ours.whole.bytes > peer.whole.bytes {
				t.Errorf("%s: %+v, %s %+v", ours.registry, ours.whole, peer.client, peer.whole)
			}
		}
	}
}

// TestWorkload: a build keeps all but one or two layers of the last one of its
// service, and its tag is new.
func TestWorkload(t *testing.T) {
	_, pushes := workload(numPushes)
	last, tags, services := map[string]build{}, map[string]bool{}, 0
	for _, b := range pushes {
		before, rebuilt := last[b.repository]
		last[b.repository] = b
		if tags[b.tag] || len(b.image.blobs) < 7 {
			t.Fatalf("%s: tag used before, or only %d blobs", b.tag, len(b.image.blobs))
		}
		tags[b.tag] = true
		if !rebuilt {
			services++
			continue
		}
		changed := 0
		for i, l := range b.image.blobs {
			if l.Digest != before.image.blobs[i].Digest {
				changed++
			}
		}
		if changed != 2 && changed != 3 { // the config among them
			t.Errorf("%s: %d blobs changed", b.tag, changed)
		}
	}
	if len(pushes) != numPushes || services != numServices {
		t.Errorf("%d pushes of %d services", len(pushes), services)
	}
}
