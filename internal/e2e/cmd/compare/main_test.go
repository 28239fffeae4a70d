package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/e2e/clients"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/internal/e2e/scenarios"
)

// TestFewest says that over all scenarios no other client needs fewer requests
// or sends fewer bytes, and that in none ggcr does.
func TestFewest(t *testing.T) {
	for _, k := range kinds() {
		if !k.Distribution {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			lines, err := compare(t.Context(), &out, k)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", &out)
			if strings.Contains(out.String(), "fails") {
				t.Error("a client fails")
			}
			for _, s := range scenarios.All() {
				if len(s.Options) == 0 && !slices.ContainsFunc(lines, func(l line) bool { return l.scenario == s.Name }) {
					t.Errorf("there is no line for %q", s.Name)
				}
			}
			checkLines(t, lines)
		})
	}
}

// checkLines compares crossmount, which is first, with ggcr, which is second, in
// each line, and with all others in the last.
func checkLines(t *testing.T, lines []line) {
	t.Helper()
	for _, l := range lines {
		ours, ggcr := l.costs[0], l.costs[1]
		if ours.all() > ggcr.all() || ours.bytes > ggcr.bytes {
			t.Errorf("%s: crossmount takes %s, ggcr %s", l.scenario, ours, ggcr)
		}
	}
	all := lines[len(lines)-1].costs
	for i, c := range clients.All()[1:] {
		if other := all[i+1]; all[0].all() >= other.all() || all[0].bytes >= other.bytes {
			t.Errorf("crossmount takes %s in all, %s %s", all[0], c.Name, other)
		}
	}
}

// TestUnknownRegistry says that a misspelt name is an error.
func TestUnknownRegistry(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, registries.Distribution().Name+"?"); err == nil {
		t.Error("no error")
	}
}
