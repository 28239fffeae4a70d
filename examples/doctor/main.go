// Command doctor asks a registry how it answers: does it find the origin of a
// mount by itself, what does it do with a mount that misses, can an upload be
// resumed.
//
//	go run ./examples/doctor [flags] HOST/REPO[,REPO2]
//	go run ./examples/doctor
//
// REPO and REPO2, on the same host, must be open to pushes; what a mount does can
// be seen only with both. What is put there is removed again if the registry lets
// it. Without arguments it asks registries that run inside it, prints one table of
// all, and ends by itself. Credentials are those of docker and podman.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/crossmount/crossmount/push"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "doctor:", err)
		stop()
		os.Exit(1)
	}
}

// config is what the command line says.
type config struct {
	insecure bool
	json     bool
	verbose  bool
	names    string // HOST/REPO[,REPO2], "" for the registries inside
}

// run is the program: it prints the findings to out, and help and the log to
// diag.
func run(ctx context.Context, args []string, out, diag io.Writer) error {
	c, err := parse(args, diag)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.names == "" {
		return c.embedded(ctx, out, diag)
	}
	repositories, err := c.repositories()
	if err != nil {
		return err
	}
	pusher, err := c.pusher(diag)
	if err != nil {
		return err
	}
	d, err := pusher.Probe(ctx, repositories[0], repositories[1:]...)
	return errors.Join(err, c.print(out, d))
}

// parse reads the command line.
func parse(args []string, diag io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(diag)
	flags.Usage = func() {
		fmt.Fprintln(diag, "usage: doctor [flags] [HOST/REPO[,REPO2]]")
		flags.PrintDefaults()
	}
	flags.BoolVar(&c.insecure, "insecure", false, "speak plain HTTP to the registry")
	flags.BoolVar(&c.json, "json", false, "print the findings as JSON")
	flags.BoolVar(&c.verbose, "v", false, "log each request; without arguments, also print the evidence")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 1 {
		return c, errors.New("give one HOST/REPO[,REPO2]")
	}
	c.names = flags.Arg(0)
	return c, nil
}

// repositories reads the names of the target and the second repository.
func (c config) repositories() ([]name.Repository, error) {
	var options []name.Option
	if c.insecure {
		options = append(options, name.Insecure)
	}
	first, second, two := strings.Cut(c.names, ",")
	target, err := name.NewRepository(first, options...)
	if err != nil || !two {
		return []name.Repository{target}, err
	}
	source, err := name.NewRepository(target.RegistryStr()+"/"+second, options...)
	return []name.Repository{target, source}, err
}

// pusher returns what probes.
func (c config) pusher(diag io.Writer) (*push.Pusher, error) {
	options := []push.Option{push.WithUserAgent("crossmount-example")}
	if c.verbose {
		level := &slog.HandlerOptions{Level: slog.LevelDebug}
		options = append(options, push.WithLogger(slog.New(slog.NewTextHandler(diag, level))))
	}
	return push.New(options...)
}

// print writes the findings of one registry as text or as JSON.
func (c config) print(out io.Writer, d *push.Diagnosis) error {
	if c.json {
		return encode(out, d)
	}
	_, err := fmt.Fprint(out, d)
	return err
}

func encode(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
