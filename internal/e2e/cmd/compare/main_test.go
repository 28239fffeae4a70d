package main

import (
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/e2e/clients"
	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/internal/e2e/scenarios"
)

// TestFewest says that over all scenarios no other client needs fewer requests
// or sends fewer bytes.
func TestFewest(t *testing.T) {
	for _, k := range kinds() {
		if !k.Distribution {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			totals, err := compare(t.Context(), &out, k)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", &out)
			if strings.Contains(out.String(), "fails") {
				t.Error("a client fails")
			}
			for _, s := range scenarios.All() {
				if len(s.Options) == 0 && !strings.Contains(out.String(), "\n"+s.Name+" ") {
					t.Errorf("there is no line for %q", s.Name)
				}
			}
			for i, c := range clients.All()[1:] {
				other := totals[i+1]
				if totals[0].all() >= other.all() || totals[0].bytes >= other.bytes {
					t.Errorf("crossmount takes %s, %s %s", totals[0], c.Name, other)
				}
			}
		})
	}
}

// TestUnknownRegistry says that a misspelt name is an error.
func TestUnknownRegistry(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, registries.Distribution().Name+"?"); err == nil {
		t.Error("no error")
	}
}
