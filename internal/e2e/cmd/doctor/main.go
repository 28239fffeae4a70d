// Doctor asks every registry of this module what it does with mounts, uploads and
// manifests, and prints one table of the answers: a row for each trait, a column
// for each registry.
//
//	go run ./cmd/doctor
//	go run ./cmd/doctor -readme ../../README.md
//
// With -readme it writes the table into that file, between the marks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// The lines of a file between which the table stands.
const (
	begins = "<!-- traits -->\n"
	ends   = "<!-- /traits -->\n"
)

// errNoMarks says that a file has no place for the table.
var errNoMarks = errors.New("the file lacks the lines " + strings.TrimSpace(begins) + " and " + strings.TrimSpace(ends))

func main() {
	file := flag.String("readme", "", "the file that the table is written into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *file)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "doctor:", err)
		os.Exit(1)
	}
}

// run prints the table, or writes it into a file.
func run(ctx context.Context, file string) error {
	columns, err := ask(ctx)
	if err != nil {
		return err
	}
	if file == "" {
		fmt.Print(table(columns))
		return nil
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := insert(string(old), table(columns))
	if err != nil || text == string(old) {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// insert returns text with the table between its marks.
func insert(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, begins)
	_, after, closed := strings.Cut(rest, ends)
	if !ok || !closed {
		return "", errNoMarks
	}
	return before + begins + table + ends + after, nil
}
