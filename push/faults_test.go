package push_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// faultHost is where the registry is that tests reach without a network.
const faultHost = "registry.example"

func faults() map[string]registrytest.Fault {
	f := func(k registrytest.FaultKind) registrytest.Fault { return registrytest.Fault{Do: k} }
	after := func(status int, s string) registrytest.Fault {
		return registrytest.Fault{Do: registrytest.Status(status), RetryAfter: s}
	}
	return map[string]registrytest.Fault{
		"refused": f(registrytest.Refuse), "reset before": f(registrytest.ResetBefore), "reset after": f(registrytest.ResetAfter),
		"500": f(registrytest.Status(500)), "502": f(registrytest.Status(502)), "503": f(registrytest.Status(503)),
		"503 with Retry-After": after(503, "3"), "429": f(registrytest.Status(429)), "429 with Retry-After": after(429, "2"),
		"401": f(registrytest.Status(401)), "stalled": f(registrytest.Stall), "body cut": f(registrytest.CutBody),
		"reply cut": f(registrytest.CutReply), "not HTTP": f(registrytest.NotHTTP), "wrong digest": f(registrytest.WrongDigest),
		"session gone": f(registrytest.SessionGone), "416": f(registrytest.RangeInvalid), "duplicate": f(registrytest.Duplicate),
	}
}

// faultCase is what is pushed in the fault tests, and what the registry and the
// pusher know before.
type faultCase struct {
	name      string
	index     bool
	baseKnown bool
	tokens    bool
}

// image builds what is pushed: an image of three layers, or an index of two.
func (c faultCase) image(t testing.TB, id string) push.Image {
	base := layers("base", 2, 100<<10)
	img := image(t, id, append(base, layer("app"+id, 100<<10))...)
	if !c.index {
		return img
	}
	other := image(t, id+"b", append(base, layer("arm"+id, 100<<10))...)
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
}

// faultRun is one push to a registry that has faults.
type faultRun struct {
	registry *registrytest.Registry
	report   *push.Report
	err      error
	took     time.Duration
	digest   string
}

func (c faultCase) push(t testing.TB, faults ...registrytest.Fault) faultRun {
	tokens := registrytest.NewTokenServer(registrytest.TokenBehaviour{})
	b := registrytest.Behaviour{}
	if c.tokens {
		b.Auth = tokens.Auth("https://auth.example/token")
	}
	r := registrytest.New(b)
	seed(t, r, "app", "v1", image(t, "old", layer("old", 10<<10)))
	network := registrytest.Network{faultHost: r, "auth.example": tokens}
	opts := []push.Option{push.WithTransport(network), push.WithConcurrency(2), alice()}
	if c.baseKnown {
		seed(t, r, "base", "v1", image(t, "base", layers("base", 2, 100<<10)...))
		opts = append(opts, push.WithSources(ref(t, faultHost, "base").Context()))
	}
	img := c.image(t, "new")
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	r.Inject(faults...)
	began := time.Now()
	run := faultRun{registry: r, digest: d.String()}
	run.report, run.err = pusher(t, opts...).Push(context.Background(), img, ref(t, faultHost, "app:v1"))
	run.took = time.Since(began)
	return run
}

// check tests what must be true after a push, whatever happened to it.
func (r faultRun) check(t *testing.T) {
	t.Helper()
	body, _, _ := r.registry.Manifest("app", "v1")
	moved := digest.FromBytes(body).String() == r.digest
	if err := r.registry.Complete("app", "v1"); err != nil {
		t.Errorf("the tag names an incomplete image: %v", err)
	}
	if r.err == nil && !moved {
		t.Error("no error, but the tag does not stand")
	}
	if r.report.Refs[0].Stands != (r.err == nil) {
		t.Errorf("the report says that it stands: %v; error: %v", r.report.Refs[0].Stands, r.err)
	}
	var e *push.Error
	if r.err != nil && !errors.As(r.err, &e) {
		t.Errorf("error %v is not typed", r.err)
	}
	if r.took > time.Hour {
		t.Errorf("took %v", r.took)
	}
	for _, v := range r.registry.Violations() {
		t.Errorf("the specification forbids: %s", v)
	}
}

// TestEveryRequestEveryFault lets each request of a push meet each fault, once
// and for ever.
func TestEveryRequestEveryFault(t *testing.T) {
	cases := 0
	for _, c := range []faultCase{
		{name: "image, cold"}, {name: "image, base known", baseKnown: true},
		{name: "index, cold", index: true}, {name: "index, base known", index: true, baseKnown: true},
		{name: "image with tokens", baseKnown: true, tokens: true},
	} {
		requests := 0
		synctest.Test(t, func(t *testing.T) {
			run := c.push(t)
			run.check(t)
			requests = run.registry.Count().Requests
		})
		for n := range requests {
			for fault, f := range faults() {
				if fault == "401" && !c.tokens {
					continue // nothing expires
				}
				cases += 2
				t.Run(fmt.Sprintf("%s/request %d/%s", c.name, n, fault), func(t *testing.T) {
					f.Skip = n
					synctest.Test(t, func(t *testing.T) { faultOnce(t, c, f) })
					synctest.Test(t, func(t *testing.T) { faultForever(t, c, f) })
				})
			}
		}
	}
	t.Logf("%d cases", cases)
}

func faultOnce(t *testing.T, c faultCase, f registrytest.Fault) {
	f.Times = 1
	run := c.push(t, f)
	run.check(t)
	if run.err != nil {
		t.Errorf("once: %v\n%s", run.err, strings.Join(run.registry.Lines(), "\n"))
	}
	if n := run.registry.OpenSessions(); n > 0 && !deleted(run.registry) {
		t.Errorf("once: %d sessions left open\n%s", n, strings.Join(run.registry.Lines(), "\n"))
	}
}

// deleted says whether the fault met a DELETE, or hid a session from the client.
func deleted(r *registrytest.Registry) bool {
	for _, e := range r.Log() {
		if e.Fault != 0 && (e.Method == "DELETE" || e.Method == "POST") {
			return true
		}
	}
	return false
}

func faultForever(t *testing.T, c faultCase, f registrytest.Fault) {
	run := c.push(t, f)
	run.check(t)
	if t.Failed() {
		t.Logf("for ever: %v\n%s", run.err, strings.Join(run.registry.Lines(), "\n"))
	}
}
