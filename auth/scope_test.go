package auth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/auth"
)

func TestScopeString(t *testing.T) {
	tests := []struct {
		name  string
		scope auth.Scope
		want  string
	}{
		{"zero", auth.Scope{}, ""},
		{"no repository", auth.Pull(""), ""},
		{"pull", auth.Pull("a/b"), "repository:a/b:pull"},
		{"push", auth.Push("a"), "repository:a:pull,push"},
		{"first stays first", auth.Push("m").Union(auth.Pull("z")).Union(auth.Pull("b")),
			"repository:m:pull,push repository:b:pull repository:z:pull"},
		{"merged per repository", auth.Pull("m").Union(auth.Pull("a")).Union(auth.Push("m")), "repository:m:pull,push repository:a:pull"},
		{"union with zero", auth.Scope{}.Union(auth.Pull("z")).Union(auth.Pull("a")), "repository:z:pull repository:a:pull"},
		{"minus actions", auth.Push("a").Minus(auth.Pull("a")), "repository:a:push"},
		{"minus the first", auth.Push("m").Union(auth.Pull("z")).Union(auth.Pull("b")).Minus(auth.Push("m")), "repository:b:pull repository:z:pull"},
		{"minus keeps the first", auth.Push("m").Union(auth.Pull("b")).Minus(auth.Pull("m")), "repository:m:push repository:b:pull"},
		{"minus all", auth.Push("a").Minus(auth.ParseScope("repository:a:*")), ""},
		{"parsed in any order", auth.ParseScope("repository:z:push,pull  repository:a/b:pull"), "repository:a/b:pull repository:z:pull,push"},
		{"parsed twice the same", auth.ParseScope("repository:a:pull repository:a:push,pull"), "repository:a:pull,push"},
		{"name with a port", auth.ParseScope("repository:host:5000/a:pull"), "repository:host:5000/a:pull"},
		{"junk", auth.ParseScope("registry:catalog:* repository repository: repository:a repository:a: repository::pull repository:b:PULL,pull,é, x:y:z"),
			"repository:b:pull"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.scope.String(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if got := strings.Join(tt.scope.Params(), " "); got != tt.want {
				t.Errorf("Params %q", got)
			}
			if tt.scope.IsZero() != (tt.want == "") || len(tt.scope.Repositories()) != len(tt.scope.Params()) {
				t.Errorf("IsZero %v, Repositories %v", tt.scope.IsZero(), tt.scope.Repositories())
			}
		})
	}
}

func TestScopeContains(t *testing.T) {
	tests := []struct {
		s, t string
		want bool
	}{
		{"", "", true},
		{"repository:a:pull", "", true},
		{"", "repository:a:pull", false},
		{"repository:a:pull,push", "repository:a:pull", true},
		{"repository:a:pull", "repository:a:pull,push", false},
		{"repository:a:push", "repository:a:pull", false},
		{"repository:a:*", "repository:a:pull,push,delete", true},
		{"repository:a:pull", "repository:a:*", false},
		{"repository:a:pull repository:b:pull", "repository:b:pull", true},
		{"repository:a:pull", "repository:ab:pull", false},
	}
	for _, tt := range tests {
		if got := auth.ParseScope(tt.s).Contains(auth.ParseScope(tt.t)); got != tt.want {
			t.Errorf("%q contains %q: %v, want %v", tt.s, tt.t, got, tt.want)
		}
	}
}

func TestScopeIsImmutable(t *testing.T) {
	s := auth.Push("m").Union(auth.Pull("z"))
	before := s.String()
	s.Union(auth.ParseScope("repository:m:delete repository:a:pull"))
	s.Minus(auth.Pull("m"))
	slices.Sort(s.Repositories())
	slices.Reverse(s.Params())
	if s.String() != before {
		t.Errorf("%q became %q", before, s)
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"", "repository:a:pull", "repository:b:push,pull repository:a:*", "registry:catalog:*", "repository:a:b:pull,,x"} {
		f.Add(s, "repository:a:pull repository:c:push")
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := auth.ParseScope(x), auth.ParseScope(y)
		if again := auth.ParseScope(a.String()); again.String() != a.String() {
			t.Fatalf("%q parses to %q, then %q", x, a, again)
		}
		union := a.Union(b)
		if !union.Contains(a) || !union.Contains(b) {
			t.Fatalf("%q and %q: union %q lacks a part", a, b, union)
		}
		rest := a.Minus(b)
		if !a.Contains(rest) || !rest.Union(b).Contains(a) {
			t.Fatalf("%q minus %q is %q", a, b, rest)
		}
		if !a.IsZero() && union.Repositories()[0] != a.Repositories()[0] {
			t.Fatalf("%q: the first repository moved in %q", a, union)
		}
	})
}
