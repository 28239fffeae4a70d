package layers

import (
	"encoding/json"
	"go/version"
	"os/exec"
	"slices"
	"testing"
)

// TestModule holds the root go.mod to what its importers pay for: three direct
// dependencies, and no newer Go than those ask for.
func TestModule(t *testing.T) {
	allowed := []string{digests, ggcr, xsync}
	var mod struct {
		Go      string
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace   []any
		Toolchain string
		Tool      []any
	}
	goJSON(t, &mod, "mod", "edit", "-json")
	for _, r := range mod.Require {
		if !r.Indirect && !slices.Contains(allowed, r.Path) {
			t.Errorf("go.mod requires %s directly", r.Path)
		}
	}
	if len(mod.Replace) > 0 || len(mod.Tool) > 0 || mod.Toolchain != "" {
		t.Errorf("go.mod replaces modules, names tools or a toolchain")
	}

	newest := "go1.13" // older than any of them
	for _, r := range mod.Require {
		if !slices.Contains(allowed, r.Path) {
			continue
		}
		var dep struct{ Path, GoVersion string }
		goJSON(t, &dep, "list", "-m", "-json", r.Path)
		if v := "go" + dep.GoVersion; version.IsValid(v) && version.Compare(v, newest) > 0 {
			newest = v
		}
	}
	if version.Compare("go"+mod.Go, newest) != 0 {
		t.Errorf("go.mod says go %s, its dependencies need %s", mod.Go, newest)
	}
}

// goJSON runs the go command in the root module and reads what it prints.
func goJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
}
