package push_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/mount"
	"github.com/crossmount/crossmount/push"
)

func repository(t testing.TB, s string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// startProbed serves a registry on which both repositories of a probe exist.
func startProbed(t testing.TB, b registrytest.Behaviour) (*registrytest.Server, name.Repository, name.Repository) {
	t.Helper()
	srv := registrytest.Start(t, b)
	srv.Registry.CreateRepository(probeTarget)
	srv.Registry.CreateRepository(probeSource)
	return srv, repository(t, srv.Host+"/"+probeTarget), repository(t, srv.Host+"/"+probeSource)
}

// standing lists all that stands of what a registry was ever asked about.
func standing(r *registrytest.Registry) []string {
	found := map[string]bool{}
	for _, repo := range r.Repositories() {
		for _, tag := range r.Tags(repo) {
			found["tag "+repo+":"+tag] = true
		}
		for _, e := range r.Log() {
			for _, d := range []digest.Digest{e.Digest, digest.Digest(e.Reference)} {
				if _, ok := r.Blob(repo, d); ok {
					found["blob "+repo+"@"+d.String()] = true
				}
				if _, _, ok := r.Manifest(repo, d.String()); ok && d != "" {
					found["manifest "+repo+"@"+d.String()] = true
				}
			}
		}
	}
	var all []string
	for s := range maps.Keys(found) {
		all = append(all, s)
	}
	return all
}

// TestProbe compares the findings with each manner of the test registry.
func TestProbe(t *testing.T) {
	for i, group := range [][]behaviour{known(), mountAnswers(), mountBehaviours(), otherBehaviours(), mixed()} {
		for _, b := range group {
			for _, two := range []bool{true, false}[:max(1, 2-i)] {
				t.Run(fmt.Sprintf("%s/two=%v", b.name, two), func(t *testing.T) {
					t.Parallel()
					probeUnder(t, b.Behaviour, two)
				})
			}
		}
	}
}

// mixed are manners that change the meaning of each other.
func mixed() []behaviour {
	type b = registrytest.Behaviour
	return []behaviour{
		{name: "HEAD sees all, phantom mounts", Behaviour: b{HeadSeesAll: true, PhantomMount: -1}},
		{name: "HEAD sees all, phantom discovery", Behaviour: b{HeadSeesAll: true, PhantomMount: -1, Discovery: registrytest.DiscoveryOn}},
		{name: "HEAD refused, phantom mounts", Behaviour: b{HeadStatus: 405, PhantomMount: -1}},
		{name: "discovers only referenced blobs", Behaviour: b{ReferencedOnly: true, Discovery: registrytest.DiscoveryOn}},
		{name: "tags, manifests consistent late", Behaviour: b{TagParams: true, EventualManifest: 1}},
		{name: "tags, phantom mounts", Behaviour: b{TagParams: true, PhantomMount: 1, Discovery: registrytest.DiscoveryTargetOnly}},
	}
}

func probeUnder(t *testing.T, b registrytest.Behaviour, two bool) {
	srv, target, source := startProbed(t, b)
	want := wantOthers(b)
	maps.Copy(want, wantMounts(b))
	sources := []name.Repository{source}
	if !two {
		sources = nil
		for _, needs := range []push.Trait{push.TraitHeadLocal, push.TraitMountsFrom, push.TraitMountsUnreferenced, push.TraitDiscovers, push.TraitPhantoms} {
			want[needs] = push.Unknown
		}
		miss := mountStatus(b, probeTarget, "")
		want[push.TraitMissOpens] = unless(mute(miss), miss == 202 && !b.AcceptedWithoutLocation)
	}
	d, err := pusher(t).Probe(context.Background(), target, sources...)
	if err != nil {
		t.Fatalf("%v\n%s", err, d)
	}
	if len(d.Traits) != len(want) {
		t.Errorf("%d findings, want %d", len(d.Traits), len(want))
	}
	for _, f := range d.Traits {
		if f.Value != want[f.Trait] || f.Evidence == "" {
			t.Errorf("%s: %s by %q, want %s", f.Trait, f.Value, f.Evidence, want[f.Trait])
		}
	}
	if left := standing(srv.Registry); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if n := srv.Registry.OpenSessions(); n != len(d.Left) || n > 0 && b.DeleteSession == 0 {
		t.Errorf("%d sessions open, said to be left: %q", n, d.Left)
	}
	if n := srv.Registry.Count(); d.Requests != n.Requests || d.Requests > 80 {
		t.Errorf("%d requests, counted %d", n.Requests, d.Requests)
	}
	var put, deleted []string
	for _, e := range srv.Registry.Log() {
		switch {
		case e.Kind == wire.ManifestPut && e.Status == http.StatusCreated && e.Repository == probeTarget:
			put = append(put, e.Reference)
		case e.Kind == wire.ManifestDelete && e.Repository == probeTarget:
			deleted = append(deleted, e.Reference)
		}
	}
	if len(put) == 0 || deleted[len(deleted)-1] != put[0] {
		t.Errorf("the first manifest, which others refer to, is not the last that is deleted: %q, %q", put, deleted)
	}
	if t.Failed() {
		t.Logf("\n%s%s", d, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestProbeLearned: pushes know what the probe found out.
func TestProbeLearned(t *testing.T) {
	for _, tt := range []struct {
		profile string
		trait   mount.Trait
		value   bool
	}{
		{"zot", mount.Discovers, true}, {"distribution-3", mount.Discovers, false},
		{"quay-2020", mount.TakesAny, false}, {"cue", mount.MissOpens, false},
		{"ecr", mount.MountsUnreferenced, false}, {"ecr-no-mounting", mount.MountsFrom, false},
		{"ghcr.io", mount.Phantoms, true}, {"olareg", mount.SeesTarget, true},
		{"distribution-2.8", mount.Resumes, false}, {"cloudflare-serverless", mount.SelfMounts, false},
	} {
		b, _ := registrytest.Lookup(tt.profile)
		_, target, source := startProbed(t, b)
		d, err := pusher(t).Probe(context.Background(), target, source)
		if err != nil {
			t.Fatal(err)
		}
		for trait := mount.Trait(1); trait.Valid(); trait++ {
			if d.Of(push.Trait(trait.String())).Trait == "" && !trait.Rate() {
				t.Errorf("%s decides how a push goes and is not found out", trait)
			}
		}
		facts := map[mount.Trait]bool{}
		for _, f := range d.Learned() {
			facts[f.Trait] = f.Value
		}
		if v, ok := facts[tt.trait]; !ok || v != tt.value {
			t.Errorf("%s: %s is %v (known %v), want %v", tt.profile, tt.trait, v, ok, tt.value)
		}
		if _, ok := facts[mount.Phantoms]; ok && tt.profile != "ghcr.io" {
			t.Errorf("%s: learned that there are no phantoms", tt.profile)
		}
	}
}

// TestPushAfterProbe: the Pusher that has probed makes no mount which the host
// refuses, and one that has not does.
func TestPushAfterProbe(t *testing.T) {
	for probed, want := range map[bool]bool{false: true, true: false} {
		b, _ := registrytest.Lookup("quay-2020")
		srv, target, source := startProbed(t, b)
		p := pusher(t, push.WithConcurrency(1))
		if probed {
			if _, err := p.Probe(context.Background(), target, source); err != nil {
				t.Fatal(err)
			}
		}
		srv.Registry.ResetLog()
		if _, err := p.Push(context.Background(), image(t, "app", layers("l", 3, layerSize)...), ref(t, srv.Host, "team/new:v1")); err != nil {
			t.Fatal(err)
		}
		any := 0
		for _, e := range srv.Registry.Log() {
			if e.Kind == wire.Mount && e.From == "" {
				any++
			}
		}
		if (any > 0) != want {
			t.Errorf("probed %v: %d mounts without from\n%s", probed, any, strings.Join(srv.Registry.Lines(), "\n"))
		}
	}
}

// TestProbeNothingStands: a session that a cut left open and empty is not one
// that resumes.
func TestProbeNothingStands(t *testing.T) {
	srv, target, _ := startProbed(t, registrytest.Behaviour{})
	large := func(e registrytest.Entry) bool {
		return e.Method == http.MethodPatch && len(e.Header.Get("Content-Length")) == len("131256")
	}
	srv.Registry.Inject(registrytest.Fault{Match: large, Times: 1, Do: registrytest.ResetBefore})
	d, err := pusher(t).Probe(context.Background(), target)
	if err != nil {
		t.Fatal(err)
	}
	if f := d.Of(push.TraitResumes); f.Value != push.No || !strings.Contains(f.Evidence, "-> 201 after 131256 of 131256") {
		t.Errorf("%s by %q\n%s", f.Value, f.Evidence, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestProbeLostReply loses the reply to each request in turn: no finding is wrong,
// and nothing stays.
func TestProbeLostReply(t *testing.T) {
	b := registrytest.Behaviour{Discovery: registrytest.DiscoveryOn, MissingBlobs: registrytest.MissingUnchecked, TagParams: true}
	want := wantOthers(b)
	maps.Copy(want, wantMounts(b))
	for n := range 60 {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			t.Parallel()
			srv, target, source := startProbed(t, b)
			srv.Registry.Inject(registrytest.Fault{Skip: n, Times: 1, Do: registrytest.ResetAfter})
			d, err := pusher(t).Probe(context.Background(), target, source)
			if err != nil {
				t.Fatal(err)
			}
			unknown := 0
			for _, f := range d.Traits {
				switch {
				case f.Value == push.Unknown && want[f.Trait] != push.Unknown:
					unknown++
				case f.Value != want[f.Trait]:
					t.Errorf("%s: %s by %q, want %s", f.Trait, f.Value, f.Evidence, want[f.Trait])
				}
			}
			if left := standing(srv.Registry); len(left)+len(d.Left) > 0 || unknown > 5 {
				t.Errorf("left behind %q, said %q; %d more unknown\n%s\n%s", left, d.Left, unknown, d, strings.Join(srv.Registry.Lines(), "\n"))
			}
		})
	}
}

// TestProbeCannotClean: what a registry does not let go of is reported, and each
// kind is asked for once.
func TestProbeCannotClean(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 501} {
		srv, target, source := startProbed(t, registrytest.Behaviour{})
		deletes := func(e registrytest.Entry) bool { return e.Method == http.MethodDelete }
		srv.Registry.Inject(registrytest.Fault{Match: deletes, Do: registrytest.Status(status)})
		d, err := pusher(t).Probe(context.Background(), target, source)
		if err != nil {
			t.Fatal(err)
		}
		want := len(standing(srv.Registry)) + srv.Registry.OpenSessions()
		if len(d.Left) < want || want == 0 {
			t.Errorf("%d: said to be left %q, want %d", status, d.Left, want)
		}
		v := unless(status == 401 || status == 403 || status == 501, false)
		if got := d.Of(push.TraitDeletesBlobs).Value; got != v {
			t.Errorf("%d: deletes blobs: %s, want %s", status, got, v)
		}
		asked := srv.Registry.Count().ByKind
		if asked[wire.BlobDelete] > 2 || asked[wire.ManifestDelete] > 1 {
			t.Errorf("%d: %d blobs and %d manifests asked for", status, asked[wire.BlobDelete], asked[wire.ManifestDelete])
		}
	}
}

// TestProbeCancelled ends the context before each of the requests in turn: the
// probe ends with its cause, and still cleans up.
func TestProbeCancelled(t *testing.T) {
	cause, b := errors.New("enough"), registrytest.Behaviour{Discovery: registrytest.DiscoveryOn}
	srv, target, source := startProbed(t, b)
	if _, err := pusher(t).Probe(context.Background(), target, source); err != nil {
		t.Fatal(err)
	}
	last := int64(srv.Registry.Count().Requests - srv.Registry.Count().ByKind[wire.BlobDelete] - srv.Registry.Count().ByKind[wire.ManifestDelete])
	for n := int64(1); n <= last; n++ {
		srv, target, source := startProbed(t, b)
		ctx, cancel := context.WithCancelCause(context.Background())
		var sent atomic.Int64
		p := pusher(t, push.WithTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
			if sent.Add(1) == n {
				cancel(cause)
			}
			return http.DefaultTransport.RoundTrip(r)
		})))
		d, err := p.Probe(ctx, target, source)
		if d == nil || !errors.Is(err, cause) {
			t.Fatalf("before request %d: %v", n, err)
		}
		if left := standing(srv.Registry); len(left) > 0 || len(d.Left) > 0 || srv.Registry.OpenSessions() > 0 {
			t.Errorf("before request %d: left behind: %q, said %q, %d sessions", n, left, d.Left, srv.Registry.OpenSessions())
		}
		cancel(nil)
	}
}
