// Command quickstart shows what a push costs, on registries that run inside it
// and keep everything in memory. It needs no network and ends by itself.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// show is a registry to push to, and where to print what happens.
type show struct {
	out      io.Writer
	registry *registrytest.Registry
	host     string
}

func run(ctx context.Context, out io.Writer) error {
	base, err := build(empty.Image, 1, 6)
	if err != nil {
		return err
	}
	app, err := build(base, 7, 1)
	if err != nil {
		return err
	}
	return errors.Join(
		on(out, registrytest.Behaviour{}, func(s show) error {
			return s.remembered(ctx, base, app)
		}),
		on(out, registrytest.Behaviour{Discovery: registrytest.DiscoveryOn}, func(s show) error {
			return s.discovered(ctx, base, app)
		}),
	)
}

// remembered pushes with one Pusher, which knows what it pushed before.
func (s show) remembered(ctx context.Context, base, app v1.Image) error {
	pusher, err := push.New()
	if err != nil {
		return err
	}
	return errors.Join(
		s.push(ctx, pusher, "A base image, to an empty registry", base, "library/base:1"),
		s.push(ctx, pusher, "An app built on it, to another repository: the Pusher remembers", app, "team/app:1.0"),
		s.push(ctx, pusher, "The same app under a new tag", app, "team/app:stable"),
		s.push(ctx, pusher, "The same app under the same tag", app, "team/app:1.0"),
	)
}

// discovered pushes with a new Pusher each time, which knows nothing, to a
// registry that finds blobs by itself (automatic content discovery).
func (s show) discovered(ctx context.Context, base, app v1.Image) error {
	first, err1 := push.New()
	second, err2 := push.New()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return errors.Join(
		s.push(ctx, first, "The base image, to a registry that discovers", base, "library/base:1"),
		s.push(ctx, second, "The app, with a Pusher that knows nothing: the registry finds the base", app, "team/app:1.0"),
	)
}

// push pushes img to a reference, prints what became of it, and checks that the
// registry holds it all.
func (s show) push(ctx context.Context, pusher *push.Pusher, title string, img push.Image, to string) error {
	ref, err := name.NewTag(s.host + "/" + to)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n%s\n%s\n", title, ref)
	report, err := pusher.Push(ctx, img, ref)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, b := range report.Blobs {
		from := b.From
		if b.Discovered {
			from = "(discovered)"
		}
		fmt.Fprintf(w, "  %s\t%d B\t%s\t%s\t\n", b.Digest.Encoded()[:12], b.Size, b.Disposition, from)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "  %d requests, %d bytes sent, %d bytes saved\n", report.Requests, report.Sent, report.Saved)
	return s.registry.Complete(ref.RepositoryStr(), ref.TagStr())
}

// on calls f with a registry that behaves like b.
func on(out io.Writer, b registrytest.Behaviour, f func(show) error) error {
	r := registrytest.New(b)
	host, stop, err := registrytest.Serve(r)
	if err != nil {
		return err
	}
	defer stop()
	return f(show{out, r, host})
}

// build adds n layers of 1 MiB to an image, random but the same in each run,
// and a config of its own.
func build(base v1.Image, seed int64, n int) (v1.Image, error) {
	rnd := rand.New(rand.NewSource(seed))
	layers := make([]v1.Layer, n)
	for i := range layers {
		content := make([]byte, 1<<20)
		rnd.Read(content)
		layers[i] = static.NewLayer(content, types.OCIUncompressedLayer)
	}
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, err
	}
	return mutate.Config(img, v1.Config{Cmd: []string{"/bin/app"}, Labels: map[string]string{"seed": fmt.Sprint(seed)}})
}
