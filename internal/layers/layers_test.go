package layers

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is the import path of the root module.
const module = "github.com/crossmount/crossmount"

// The third-party modules that the root module requires directly.
const (
	digests = "github.com/opencontainers/go-digest"
	ggcr    = "github.com/google/go-containerregistry"
	xsync   = "golang.org/x/sync"
)

// A layer says what one package may import. An import is allowed if it lies
// in or below one of the paths.
type layer struct {
	ours   []string // packages of this module, relative to its root
	third  []string // third-party modules
	banned []string // packages of the standard library that it must not use
}

// layers is the import table. A package of the root module that is not in it
// is an error, and so is an import that it does not name; a package that does
// not exist is none.
func layers() map[string]layer {
	both := []string{digests, ggcr}
	return map[string]layer{
		"push": {
			ours: []string{"mount", "transport", "auth", "internal/wire", "internal/inventory", "internal/ledger",
				"internal/fanout", "internal/flight", "internal/lru", "internal/netguard", "internal/memory"},
			third: []string{digests, ggcr, xsync},
		},
		"mount": { // pure: it decides from values alone
			third:  []string{digests},
			banned: []string{"context", "net", "time", "sync", "os", "io"},
		},
		"transport":             {ours: []string{"auth", "internal/wire", "internal/netguard"}, third: both},
		"auth":                  {ours: []string{"internal/wire", "internal/flight", "internal/lru"}, third: both},
		"internal/wire":         {third: []string{digests}},
		"internal/inventory":    {ours: []string{"mount"}, third: both},
		"internal/ledger":       {ours: []string{"mount", "internal/lru"}, third: both},
		"internal/fanout":       {},
		"internal/flight":       {},
		"internal/lru":          {},
		"internal/memory":       {},
		"internal/netguard":     {},
		"internal/layers":       {},
		"internal/registrytest": {ours: []string{"internal/wire"}, third: []string{digests}},
		"examples/*":            {ours: []string{"push", "mount", "transport", "auth", "internal/registrytest"}, third: both},
	}
}

// TestImports holds every package of the root module to the table.
func TestImports(t *testing.T) {
	files := load(t)
	for _, f := range files {
		if f.test || f.nested {
			continue
		}
		for _, finding := range checkImports(layers(), path.Dir(f.path), f.imports()) {
			t.Errorf("%s: %s", f.path, finding)
		}
	}
	if !slices.ContainsFunc(files, func(f file) bool { return path.Dir(f.path) == "internal/layers" }) {
		t.Error("the walk over the module does not find this package")
	}
}

// checkImports says what is wrong with the imports of a package.
func checkImports(table map[string]layer, pkg string, imports []string) (findings []string) {
	l, ok := table[pkg]
	if !ok {
		l, ok = table[path.Dir(pkg)+"/*"]
	}
	if !ok {
		return []string{fmt.Sprintf("package %s is not in the table of layers", pkg)}
	}
	for _, imp := range imports {
		ours, isOurs := strings.CutPrefix(imp, module+"/")
		first, _, _ := strings.Cut(imp, "/")
		switch {
		case isOurs && !slices.Contains(l.ours, ours),
			imp == module,
			!isOurs && strings.Contains(first, ".") && !slices.ContainsFunc(l.third, within(imp)),
			slices.ContainsFunc(l.banned, within(imp)):
			findings = append(findings, fmt.Sprintf("package %s must not import %s", pkg, imp))
		}
	}
	return findings
}

// within gives a test for whether imp is a path or lies below it.
func within(imp string) func(string) bool {
	return func(p string) bool { return imp == p || strings.HasPrefix(imp, p+"/") }
}

// TestTable asserts the two rules that carry the design, on the table itself.
func TestTable(t *testing.T) {
	for pkg, l := range layers() {
		if slices.Contains(l.ours, "push") && !strings.HasPrefix(pkg, "examples/") {
			t.Errorf("%s may import push", pkg)
		}
		if pkg == "mount" && len(l.ours) > 0 || pkg == "transport" && slices.Contains(l.ours, "mount") {
			t.Error("mount and transport may know each other")
		}
		for _, p := range l.ours {
			if _, ok := layers()[p]; !ok {
				t.Errorf("%s may import %s, which is not in the table", pkg, p)
			}
		}
	}
}

func TestCheckImports(t *testing.T) {
	for _, tt := range []struct {
		pkg, imp string
		ok       bool
	}{
		{"push", module + "/mount", true},
		{"push", xsync + "/errgroup", true},
		{"push", module + "/internal/registrytest", false},
		{"push", module, false},
		{"mount", digests, true},
		{"mount", "slices", true},
		{"mount", "iter", true},
		{"mount", "io", false},
		{"mount", "io/fs", false},
		{"mount", "net/http", false},
		{"mount", "sync/atomic", false},
		{"mount", "time", false},
		{"mount", ggcr + "/pkg/v1", false},
		{"mount", module + "/transport", false},
		{"transport", "net/http", true},
		{"transport", module + "/mount", false},
		{"transport", module + "/push", false},
		{"transport", ggcr + "-evil/x", false},
		{"transport", xsync + "/errgroup", false},
		{"auth", module + "/internal/netguard", false},
		{"auth", module + "/transport", false},
		{"internal/registrytest", ggcr + "/pkg/v1", false},
		{"internal/flight", digests, false},
		{"internal/wire", "example.com/other", false},
		{"examples/quickstart", module + "/push", true},
		{"examples/quickstart", module + "/internal/ledger", false},
		{"examples/a/b", "fmt", false},
		{"internal/other", "fmt", false},
		{".", "fmt", false},
	} {
		if findings := checkImports(layers(), tt.pkg, []string{tt.imp}); (len(findings) == 0) != tt.ok {
			t.Errorf("%s imports %s: %q, want allowed %t", tt.pkg, tt.imp, findings, tt.ok)
		}
	}
}
