package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/crossmount/crossmount/internal/registrytest"
)

// row returns the values of a trait, one for each registry.
func row(t *testing.T, out, trait string) string {
	t.Helper()
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, trait+"  "); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	t.Errorf("no row %q in\n%s", trait, out)
	return ""
}

// TestEmbedded looks at rows of the table that tell the registries apart.
func TestEmbedded(t *testing.T) {
	var out, diag strings.Builder
	if err := run(t.Context(), nil, &out, &diag); err != nil {
		t.Fatal(err)
	}
	for trait, want := range map[string]string{
		"":                                "distribution-3 gitea zot olareg ggcr cue",
		"mounts from":                     "yes yes yes yes no yes",
		"discovers":                       "no yes yes no no no",
		"sees its target":                 "no yes yes yes no no",
		"opens a session on a miss":       "yes yes yes yes yes no",
		"HEAD is local to its repository": "yes yes no yes no yes",
		"names missing blobs":             "yes yes no yes ? no",
	} {
		if got := row(t, out.String(), trait); got != want {
			t.Errorf("%s: %s, want %s", trait, got, want)
		}
	}
	if diag.Len() > 0 {
		t.Errorf("unasked: %s", &diag)
	}
}

// TestFlags runs the program on a registry, with each flag.
func TestFlags(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	for _, tt := range []struct {
		args      []string
		out, diag string
	}{
		{[]string{srv.Host + "/team/app"}, "mounts from                       unknown  no second repository was named", ""},
		{[]string{srv.Host + "/team/app,team/base"}, "POST ?mount=D&from=team/base -> 201; HEAD D -> 200", ""},
		{[]string{"-json", "-insecure", srv.Host + "/team/app,team/base"}, `"source": "team/base"`, ""},
		{[]string{"-v", srv.Host + "/team/app"}, "discovers", "level=DEBUG msg=request"},
		{[]string{"-h"}, "", "usage: doctor"},
		{[]string{"-v"}, "cue\n127.0.0.1", "level=DEBUG msg=request"},
	} {
		var out, diag strings.Builder
		if err := run(t.Context(), tt.args, &out, &diag); err != nil {
			t.Fatalf("%q: %v", tt.args, err)
		}
		if !strings.Contains(out.String(), tt.out) || !strings.Contains(diag.String(), tt.diag) {
			t.Errorf("%q: out\n%s\ndiag\n%s", tt.args, &out, &diag)
		}
	}
}

// TestJSON: without arguments, JSON is a list with the findings of each.
func TestJSON(t *testing.T) {
	var out, diag strings.Builder
	if err := run(t.Context(), []string{"-json"}, &out, &diag); err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name   string
		Traits []struct{ Trait, Value, Evidence string }
	}
	if err := json.Unmarshal([]byte(out.String()), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != len(profiles()) || list[2].Name != "zot" || len(list[2].Traits) == 0 || list[2].Traits[0].Value != "yes" {
		t.Errorf("%+v", list)
	}
}

// TestWrong: what cannot be asked is an error.
func TestWrong(t *testing.T) {
	for _, args := range [][]string{
		{"a/b", "c/d"}, {"-x"}, {"not a name"}, {"127.0.0.1:1/a,UPPER"}, {"127.0.0.1:1/a,a"}, {"127.0.0.1:1/team/app"},
	} {
		var out, diag strings.Builder
		if err := run(t.Context(), args, &out, &diag); err == nil {
			t.Errorf("%q: no error; out\n%s", args, &out)
		}
	}
}
