package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// profiles are the registries that are asked without arguments: in-process ones
// that answer as those do.
func profiles() []string { return []string{"distribution-3", "gitea", "zot", "olareg", "ggcr", "cue"} }

// column is one registry and what was found out of it.
type column struct {
	Name string `json:"name"`
	*push.Diagnosis
}

// embedded asks registries that run inside the program, and prints what was
// found out of all of them.
func (c config) embedded(ctx context.Context, out, diag io.Writer) error {
	var columns []column
	for _, profile := range profiles() {
		d, err := c.ask(ctx, profile, diag)
		if err != nil {
			return fmt.Errorf("%s: %w", profile, err)
		}
		columns = append(columns, column{profile, d})
	}
	if c.json {
		return encode(out, columns)
	}
	if c.verbose {
		for _, col := range columns {
			fmt.Fprintf(out, "%s\n%s\n", col.Name, col.Diagnosis)
		}
	}
	return table(out, columns)
}

// ask serves a registry and asks it.
func (c config) ask(ctx context.Context, profile string, diag io.Writer) (*push.Diagnosis, error) {
	behaviour, ok := registrytest.Lookup(profile)
	if !ok {
		return nil, fmt.Errorf("no such registry")
	}
	host, stop, err := registrytest.Serve(registrytest.New(behaviour))
	if err != nil {
		return nil, err
	}
	defer stop()
	target, err := name.NewRepository(host + "/team/app")
	if err != nil {
		return nil, err
	}
	source, err := name.NewRepository(host + "/team/base")
	if err != nil {
		return nil, err
	}
	pusher, err := c.pusher(diag)
	if err != nil {
		return nil, err
	}
	return pusher.Probe(ctx, target, source)
}

// table prints a row for each trait and a column for each registry.
func table(out io.Writer, columns []column) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, col := range columns {
		fmt.Fprintf(w, "\t%s", col.Name)
	}
	fmt.Fprintln(w)
	for i, f := range columns[0].Traits {
		fmt.Fprint(w, f.Trait)
		for _, col := range columns {
			value := col.Traits[i].Value.String()
			if col.Traits[i].Value == push.Unknown {
				value = "?"
			}
			fmt.Fprintf(w, "\t%s", value)
		}
		fmt.Fprintln(w)
	}
	for _, row := range []struct {
		title string
		of    func(*push.Diagnosis) int
	}{
		{"requests", func(d *push.Diagnosis) int { return d.Requests }},
		{"bytes of blobs sent", func(d *push.Diagnosis) int { return int(d.Sent) }},
		{"left behind", func(d *push.Diagnosis) int { return len(d.Left) }},
	} {
		fmt.Fprint(w, row.title)
		for _, col := range columns {
			fmt.Fprintf(w, "\t%d", row.of(col.Diagnosis))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
