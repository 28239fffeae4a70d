package layers

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// The longest file and function, in lines.
const (
	maxFile = 400
	maxFunc = 70
)

// TestSource holds the repository's own code, nested modules and examples
// included, to the house rules. Tests are held to the length of files only.
func TestSource(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range load(t) {
		for _, finding := range checkSource(f) {
			t.Error(finding)
		}
		if !f.test {
			dir := path.Dir(f.path)
			documented[dir] = documented[dir] || !silent(f.syntax.Doc)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: the package has no comment", dir)
		}
	}
}

// checkSource says what is wrong with a file.
func checkSource(f file) (findings []string) {
	report := func(at token.Pos, format string, args ...any) {
		findings = append(findings, fmt.Sprintf("%s:%d: %s", f.path, f.set.Position(at).Line, fmt.Sprintf(format, args...)))
	}
	if f.lines > maxFile {
		report(f.syntax.Package, "the file has %d lines, more than %d", f.lines, maxFile)
	}
	if f.test {
		return findings
	}
	for _, imp := range f.imports() {
		if imp == "reflect" {
			report(f.syntax.Package, "imports reflect")
		}
	}
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			checkFunc(f, d, report)
		case *ast.GenDecl:
			checkDecl(d, report)
		}
	}
	checkNodes(f, report)
	return findings
}

// A reporter takes note of a finding.
type reporter func(at token.Pos, format string, args ...any)

// checkFunc checks the length, name and comment of a function or method.
func checkFunc(f file, d *ast.FuncDecl, report reporter) {
	name := d.Name.Name
	if n := f.set.Position(d.End()).Line - f.set.Position(d.Pos()).Line + 1; n > maxFunc {
		report(d.Pos(), "%s has %d lines, more than %d", name, n, maxFunc)
	}
	if name == "init" && d.Recv == nil {
		report(d.Pos(), "init function")
	}
	if d.Name.IsExported() && silent(d.Doc) && (d.Recv == nil || ast.IsExported(receiver(d))) {
		report(d.Pos(), "%s has no comment", name)
	}
}

// receiver gives the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// checkDecl checks the comments of types, constants and variables, and that
// variables are sentinel errors or assertions.
func checkDecl(d *ast.GenDecl, report reporter) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && silent(d.Doc, s.Doc) {
				report(s.Pos(), "%s has no comment", s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && silent(d.Doc, s.Doc, s.Comment) {
					report(s.Pos(), "%s has no comment", name.Name)
				}
				if d.Tok == token.VAR && name.Name != "_" && !isSentinel(name.Name) {
					report(s.Pos(), "package variable %s", name.Name)
				}
			}
		}
	}
}

// silent reports whether comments say nothing: there are none, or they hold
// only directives.
func silent(comments ...*ast.CommentGroup) bool {
	return !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c.Text() != "" })
}

// isSentinel reports whether a variable has the name of a sentinel error.
func isSentinel(name string) bool {
	rest, ok := strings.CutPrefix(name, "Err")
	if !ok {
		rest, ok = strings.CutPrefix(name, "err")
	}
	return ok && rest != "" && ast.IsExported(rest)
}

// checkNodes looks for what may stand anywhere in a file.
func checkNodes(f file, report reporter) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if f.isMember(n, "time", "Sleep") {
				report(n.Pos(), "time.Sleep does not watch a context")
			}
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if holdsContext(f, field.Type) {
					report(field.Pos(), "a struct holds a context")
				}
			}
		}
		return true
	})
	for _, imp := range []string{"time", "context"} {
		if f.local(imp) == "." {
			report(f.syntax.Package, "imports %s with a dot", imp)
		}
	}
}

// holdsContext reports whether a field of this type holds a context. A
// function that takes one does not.
func holdsContext(f file, e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncType); ok {
			return false
		}
		found = found || f.isMember(n, "context", "Context")
		return !found
	})
	return found
}

// Each rule is broken once, so that none of them can rest.
func TestCheckSource(t *testing.T) {
	long := strings.Repeat("\n", maxFunc)
	for _, tt := range []struct {
		name, src string
		want      []string // in the order of the findings; none: the source is fine
	}{
		{"fine", "// F does.\nfunc F(ctx context.Context) { select { case <-time.After(1): } }", nil},
		{"init", "func init() {}", []string{"init function"}},
		{"method init", "type t int\nfunc (t) init() {}", nil},
		{"variable", "var cache = map[string]int{}", []string{"package variable cache"}},
		{"grouped variable", "var (\n_ = 1\nErrX = 1 // x\na, b int\n)", []string{"package variable a", "package variable b"}},
		{"sentinels", "// ErrX is.\nvar ErrX = errors.New(\"x\")\nvar errY = errors.New(\"y\")\nvar _ I = (*T)(nil)", nil},
		{"no sentinel", "var errand, err int", []string{"package variable errand", "package variable err"}},
		{"reflect", "import \"reflect\"", []string{"imports reflect"}},
		{"sleep", "func f() { func() { time.Sleep(1) }() }", []string{"time.Sleep"}},
		{"sleep as a value", "func f() { g := time.Sleep; g(1) }", []string{"time.Sleep"}},
		{"other sleep", "func f() { clock.Sleep(1) }", nil},
		{"dot", "import . \"time\"", []string{"imports time with a dot"}},
		{"context field", "type t struct { ctx context.Context }", []string{"holds a context"}},
		{"embedded context", "type t struct { context.Context }", []string{"holds a context"}},
		{"contexts", "func f() { var _ []struct{ m map[string]*context.Context } }", []string{"holds a context"}},
		{"function of a context", "type t struct { f func(context.Context) context.Context }", nil},
		{"long function", "func f() {" + long + "}", []string{"f has 71 lines"}},
		{"just not too long", "func f() {" + long[1:] + "}", nil},
		{"long file", strings.Repeat("\n", maxFile), []string{"the file has 402 lines"}},
		{"function", "func F() {}", []string{"F has no comment"}},
		{"methods", "type T[A any] int\nfunc (*T[A]) M() {}\ntype u int\nfunc (u) M() {}", []string{"T has no comment", "M has no comment"}},
		{"constants", "const A = 1\n// Group.\nconst (\nB = 1\nC = 2\n)\nconst (\nD = 1 // d\nE = 2\n)", []string{"A has no comment", "E has no comment"}},
		{"directive is no comment", "//go:noinline\nfunc F() {}", []string{"F has no comment"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := "package p\n\n" + tt.src + "\n"
			if !strings.HasPrefix(tt.src, "import") {
				src = "package p\nimport (\"context\"; \"time\")\n" + tt.src
			}
			f, err := parse("p.go", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			findings := checkSource(f)
			if !slices.EqualFunc(findings, tt.want, strings.Contains) {
				t.Errorf("findings %q, want %q", findings, tt.want)
			}
		})
	}
}
