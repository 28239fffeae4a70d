package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/internal/e2e/registries"
	"github.com/crossmount/crossmount/push"
)

// column is a registry and what was found out of it.
type column struct {
	title string
	*push.Diagnosis
}

// subject is a registry that is asked.
type subject struct {
	registries.Kind
	title  string // of its column, with a verb for the version
	module string // which it is of
}

// subjects returns those that can be started everywhere.
func subjects() []subject {
	const distribution = "github.com/distribution/distribution/v3"
	return []subject{
		{registries.Distribution(), "distribution %s", distribution},
		{registries.DistributionWithTokens(registries.Everybody(), false), "distribution %s with tokens", distribution},
		{registries.OLAReg(), "olareg %s", "github.com/olareg/olareg"},
		{registries.Cue(), "cue %s", "cuelabs.dev/go/oci/ociregistry"},
		{registries.GGCR(), "ggcr %s", "github.com/google/go-containerregistry"},
	}
}

// ask starts one registry after the other and asks it.
func ask(ctx context.Context) ([]column, error) {
	versions, err := versions()
	if err != nil {
		return nil, err
	}
	var columns []column
	for _, s := range subjects() {
		d, err := probe(ctx, s.Kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		columns = append(columns, column{fmt.Sprintf(s.title, versions[s.module]), d})
	}
	return columns, nil
}

// probe asks one registry.
func probe(ctx context.Context, k registries.Kind) (*push.Diagnosis, error) {
	server, err := k.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	target, err := name.NewRepository(server.Host + "/team/app")
	if err != nil {
		return nil, err
	}
	source, err := name.NewRepository(server.Host + "/team/base")
	if err != nil {
		return nil, err
	}
	p, err := push.New(push.WithKeychain(server.Keychain(registries.Admin)))
	if err != nil {
		return nil, err
	}
	return p.Probe(ctx, target, source)
}

// versions returns the short versions of the modules in this program: 3.1.2, or
// the date of one that has no number.
func versions() (map[string]string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok || len(info.Deps) == 0 {
		return nil, errors.New("the program does not know its modules")
	}
	short := map[string]string{}
	for _, m := range info.Deps {
		v := strings.TrimPrefix(m.Version, "v")
		if date, ok := strings.CutPrefix(v, "0.0.0-"); ok && len(date) > 8 {
			v = date[:4] + "-" + date[4:6] + "-" + date[6:8]
		}
		short[m.Path] = v
	}
	return short, nil
}

// table prints the columns in Markdown.
func table(columns []column) string {
	var b strings.Builder
	b.WriteString("| trait |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for i, f := range columns[0].Traits {
		fmt.Fprintf(&b, "| %s |", f.Trait)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.Traits[i].Value)
		}
		b.WriteString("\n")
	}
	b.WriteString("| left behind by the probe |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %d |", len(c.Left))
	}
	b.WriteString("\n")
	return b.String()
}
