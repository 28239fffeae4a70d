// Command push pushes an image from disk to references.
//
//	go run ./examples/push -layout DIR REF...
//	go run ./examples/push -tarball FILE REF...
//
// Credentials are those of docker and podman. It exits with 1 if a reference
// does not stand in the end.
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

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/crossmount/crossmount/push"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "push:", err)
		stop()
		os.Exit(1)
	}
}

// config is what the command line says.
type config struct {
	layout, tarball string
	insecure        bool
	json            bool
	verbose         bool
	from            []string
	refs            []string
}

// run is the program: it pushes what args say, and prints the report to out,
// and help and the log to diag.
func run(ctx context.Context, args []string, out, diag io.Writer) error {
	c, err := parse(args, diag)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	refs, err := c.references()
	if err != nil {
		return err
	}
	img, err := c.image()
	if err != nil {
		return err
	}
	pusher, err := c.pusher(diag)
	if err != nil {
		return err
	}
	report, err := pusher.Push(ctx, img, refs...)
	return errors.Join(err, c.print(out, report))
}

// parse reads the command line. Without arguments it prints help.
func parse(args []string, diag io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("push", flag.ContinueOnError)
	flags.SetOutput(diag)
	flags.Usage = func() {
		fmt.Fprintln(diag, "usage: push [flags] -layout DIR | -tarball FILE REF...")
		flags.PrintDefaults()
	}
	flags.StringVar(&c.layout, "layout", "", "push the OCI layout in this `directory`")
	flags.StringVar(&c.tarball, "tarball", "", "push the image in this `file`, as docker save writes it")
	flags.BoolVar(&c.insecure, "insecure", false, "speak plain HTTP to the registries")
	flags.BoolVar(&c.json, "json", false, "print the report as JSON")
	flags.BoolVar(&c.verbose, "v", false, "log each request and decision")
	flags.Func("from", "a `repository` worth trying to mount from; may be given more than once", func(s string) error {
		c.from = append(c.from, s)
		return nil
	})
	if len(args) == 0 {
		flags.Usage()
		return c, flag.ErrHelp
	}
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if (c.layout == "") == (c.tarball == "") {
		return c, errors.New("give either -layout or -tarball")
	}
	if c.refs = flags.Args(); len(c.refs) == 0 {
		return c, errors.New("no references to push to")
	}
	return c, nil
}

// references reads the names of what to push to.
func (c config) references() ([]name.Reference, error) {
	var refs []name.Reference
	for _, s := range c.refs {
		ref, err := name.ParseReference(s, c.naming()...)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

func (c config) naming() []name.Option {
	if c.insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

// image opens what to push. Of a layout that holds one image or index, that is
// the image or index itself; of one that holds several, the index of them.
func (c config) image() (push.Image, error) {
	if c.tarball != "" {
		return tarball.ImageFromPath(c.tarball, nil)
	}
	idx, err := layout.ImageIndexFromPath(c.layout)
	if err != nil {
		return nil, err
	}
	m, err := idx.IndexManifest()
	switch {
	case err != nil:
		return nil, err
	case len(m.Manifests) == 0:
		return nil, fmt.Errorf("%s holds no image", c.layout)
	case len(m.Manifests) > 1:
		return idx, nil
	case m.Manifests[0].MediaType.IsIndex():
		return idx.ImageIndex(m.Manifests[0].Digest)
	}
	return idx.Image(m.Manifests[0].Digest)
}

// pusher returns what pushes.
func (c config) pusher(diag io.Writer) (*push.Pusher, error) {
	options := []push.Option{push.WithKeychain(authn.DefaultKeychain), push.WithUserAgent("crossmount-example")}
	if c.verbose {
		level := &slog.HandlerOptions{Level: slog.LevelDebug}
		options = append(options, push.WithLogger(slog.New(slog.NewTextHandler(diag, level))))
	}
	for _, s := range c.from {
		repo, err := name.NewRepository(s, c.naming()...)
		if err != nil {
			return nil, err
		}
		options = append(options, push.WithSources(repo))
	}
	return push.New(options...)
}

// print writes the report as text or as JSON.
func (c config) print(out io.Writer, r *push.Report) error {
	if c.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := fmt.Fprint(out, r)
	return err
}
