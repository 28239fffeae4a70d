package push_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

const (
	profileLayer = 256 << 10 // bytes of each layer
	profileBase  = 4         // layers of the base
	profileApp   = 3         // layers on top of it
)

// situation is what a registry holds, and what a client knows, when an image
// of the base's layers and its own is pushed.
type situation struct {
	name string
	refs []string
	// held are the images that stand before, by reference.
	held func(t testing.TB) map[string]v1.Image
	// known wraps the layers of the base as a pull from team/base gives them.
	known bool
}

func situations() []situation {
	one, nothing := []string{"team/app:v1"}, func(testing.TB) map[string]v1.Image { return nil }
	base := func(t testing.TB) map[string]v1.Image {
		return map[string]v1.Image{"team/base:v1": image(t, "base", layers("base", profileBase, profileLayer)...)}
	}
	old := func(t testing.TB) map[string]v1.Image {
		before := append(layers("base", profileBase, profileLayer), layers("app", profileApp-1, profileLayer)...)
		return map[string]v1.Image{"team/app:old": image(t, "old", append(before, layer("old", profileLayer))...)}
	}
	return []situation{
		{name: "cold", refs: one, held: nothing},
		{name: "base known", refs: one, held: base, known: true},
		{name: "base unknown", refs: one, held: base},
		{name: "new tag", refs: one, held: old},
		{name: "two repositories", refs: []string{"team/app:v1", "team/copy:v1"}, held: nothing},
	}
}

// image returns the image that is pushed.
func (s situation) image(t testing.TB, host string) v1.Image {
	base := layers("base", profileBase, profileLayer)
	if s.known {
		for i, l := range base {
			base[i] = mountableFrom(l, ref(t, host, "team/base:v1"))
		}
	}
	return image(t, "app", append(base, layers("app", profileApp, profileLayer)...)...)
}

// client pushes an image to references.
type client func(ctx context.Context, img v1.Image, refs []name.Reference) error

// crossmount pushes with a new Pusher that makes n requests at once.
func crossmount(t testing.TB, n int) client {
	return func(ctx context.Context, img v1.Image, refs []name.Reference) error {
		_, err := pusher(t, push.WithConcurrency(n)).Push(ctx, img, refs...)
		return err
	}
}

// ggcr pushes with the package remote: with Write to one reference, with
// MultiWrite to more.
func ggcr(ctx context.Context, img v1.Image, refs []name.Reference) error {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithJobs(1),
		remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 3}),
	}
	if len(refs) == 1 {
		return remote.Write(refs[0], img, options...)
	}
	all := map[name.Reference]remote.Taggable{}
	for _, r := range refs {
		all[r] = img
	}
	return remote.MultiWrite(all, options...)
}

// price is what a push cost.
type price struct {
	requests int
	layers   int64 // sent
	err      error // why the push failed, or left an image that is not complete
}

// String prints the price as the table has it: requests and layers.
func (p price) String() string {
	if p.err != nil {
		return "fails"
	}
	return fmt.Sprintf("%d/%d", p.requests, p.layers)
}

// priceOf pushes the image of a situation to a new registry.
func priceOf(t testing.TB, b registrytest.Behaviour, s situation, push client) price {
	r := registrytest.New(registrytest.Behaviour{})
	host, stop, err := registrytest.Serve(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for where, img := range s.held(t) {
		repo, tag, _ := strings.Cut(where, ":")
		seed(t, r, repo, tag, img)
	}
	var refs []name.Reference
	for _, where := range s.refs {
		refs = append(refs, ref(t, host, where))
		if b.RepoAbsentReset { // such a registry creates none on a push
			r.CreateRepository(refs[len(refs)-1].Context().RepositoryStr())
		}
	}
	img := s.image(t, host)
	label(t, r, "layer", img)
	r.SetBehaviour(func(to *registrytest.Behaviour) { *to = b })
	r.ResetLog()
	err = push(t.Context(), img, refs)
	p := price{requests: len(r.Log()), layers: r.Count().Bytes / profileLayer, err: err}
	for i := 0; i < len(refs) && p.err == nil && b.MissingBlobs != registrytest.MissingUnchecked; i++ {
		p.err = r.Complete(refs[i].Context().RepositoryStr(), refs[i].Identifier())
	}
	if os.Getenv("PROFILE_LOG") != "" {
		t.Logf("%s: %s %v\n%s", s.name, p, p.err, strings.Join(r.Lines(), "\n"))
	}
	return p
}

// TestProfiles pushes to each known registry with this package and with ggcr:
// this one succeeds always, with no more requests and no more bytes.
func TestProfiles(t *testing.T) {
	known := registrytest.Registries()
	rows := make([]string, len(known))
	t.Run("registries", func(t *testing.T) {
		for i, k := range known {
			t.Run(k.Name, func(t *testing.T) {
				t.Parallel()
				rows[i] = profile(t, k)
			})
		}
	})
	head := fmt.Sprintf("%-23s", "requests/layers sent")
	for _, s := range situations() {
		head += fmt.Sprintf(" %-17s", s.name)
	}
	table := strings.TrimRight(head, " ") + "\n" + strings.Join(rows, "")
	t.Logf("crossmount : ggcr\n%s", table)
	golden(t, goldenPath(".", "profiles"), table)
}

// noDearer fails the test unless ours succeeded and cost no more than theirs.
func noDearer(t *testing.T, name string, ours, theirs price) {
	t.Helper()
	switch {
	case ours.err != nil:
		t.Errorf("%s: %v", name, ours.err)
	case theirs.err == nil && (ours.requests > theirs.requests || ours.layers > theirs.layers):
		t.Errorf("%s: %s requests and layers, ggcr %s", name, ours, theirs)
	}
}

// profile compares the clients on one registry, and returns its row.
func profile(t *testing.T, k registrytest.Known) string {
	row := fmt.Sprintf("%-23s", k.Name)
	for _, s := range situations() {
		theirs := priceOf(t, k.Behaviour, s, ggcr)
		ours := priceOf(t, k.Behaviour, s, crossmount(t, 1))
		cell := ours.String()
		if k.ReferencedOnly && len(s.refs) > 1 { // what the second can mount depends on when the first's manifest stands
			cell = "varies"
		}
		row += fmt.Sprintf(" %-17s", cell+" : "+theirs.String())
		noDearer(t, s.name, ours, theirs)
		noDearer(t, s.name+", eight at once", priceOf(t, k.Behaviour, s, crossmount(t, 8)), theirs)
	}
	return strings.TrimRight(row, " ") + "\n"
}
