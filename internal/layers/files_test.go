package layers

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the root module's directory, seen from this package.
const root = "../.."

// A file is one Go file of the repository.
type file struct {
	path   string // relative to the root, with slashes
	test   bool   // a _test.go file
	nested bool   // in a nested module
	lines  int
	set    *token.FileSet
	syntax *ast.File
}

// load parses every Go file of the repository, for every platform.
func load(t *testing.T) (files []file) {
	t.Helper()
	nested := map[string]bool{} // directories in nested modules
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if base := path.Base(rel); rel != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return fs.SkipDir
			}
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			nested[rel] = rel != "." && (err == nil || nested[path.Dir(rel)])
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parse(rel, src)
		f.nested = nested[path.Dir(rel)]
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// parse makes a file of source text.
func parse(name string, src []byte) (file, error) {
	f := file{path: name, test: strings.HasSuffix(name, "_test.go"), lines: bytes.Count(src, []byte("\n")), set: token.NewFileSet()}
	var err error
	f.syntax, err = parser.ParseFile(f.set, name, src, parser.ParseComments|parser.SkipObjectResolution)
	return f, err
}

// imports gives the paths that f imports.
func (f file) imports() (paths []string) {
	for _, spec := range f.syntax.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		paths = append(paths, p)
	}
	return paths
}

// local gives the name under which f imports a package, "" if it does not.
func (f file) local(imp string) string {
	for _, spec := range f.syntax.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p != imp {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imp)
	}
	return ""
}

// isMember reports whether e is the member of an imported package: time.Sleep.
func (f file) isMember(e ast.Node, imp, member string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != member {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == f.local(imp)
}
