package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestREADME says that the table in README.md is what the registries answer.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	columns, err := ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := insert(string(text), table(columns))
	if err != nil {
		t.Fatal(err)
	}
	if got == string(text) {
		return
	}
	t.Errorf("README.md has another table than this; go run ./cmd/doctor -readme ../../README.md writes it\n%s", table(columns))
	for _, c := range columns {
		t.Logf("%s\n%s", c.title, c.Diagnosis)
	}
}

// TestInsert replaces what is between the marks, and nothing else.
func TestInsert(t *testing.T) {
	got, err := insert("a\n"+begins+"old\n"+ends+"b\n", "new\n")
	if want := "a\n" + begins + "new\n" + ends + "b\n"; got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, text := range []string{"", begins, ends + begins} {
		if _, err := insert(text, "new\n"); !errors.Is(err, errNoMarks) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
