package push_test

import (
	"context"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// behaviour is one manner of a registry that a push must survive.
type behaviour struct {
	name string
	registrytest.Behaviour
	// twice allows bytes to be sent twice: the manner makes it necessary.
	twice bool
	// unchecked is for registries that do not check manifests, so that a lie of
	// theirs cannot be noticed.
	unchecked bool
}

func mountAnswers() []behaviour {
	var out []behaviour
	for _, status := range []int{400, 401, 403, 404, 405, 415, 422, 429, 500, 503} {
		for name, scope := range map[string]registrytest.MountScope{
			"any": registrytest.AnyMount, "with from": registrytest.MountsWithFrom, "without from": registrytest.MountsWithoutFrom,
		} {
			out = append(out, behaviour{name: "mount " + name + " answered " + itoa(status),
				Behaviour: registrytest.Behaviour{MountStatus: status, MountScope: scope}})
		}
	}
	return out
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func mountBehaviours() []behaviour {
	type b = registrytest.Behaviour
	return []behaviour{
		{name: "conforming"},
		{name: "discovery", Behaviour: b{Discovery: registrytest.DiscoveryOn}},
		{name: "discovery in the target", Behaviour: b{Discovery: registrytest.DiscoveryTargetOnly}},
		{name: "self-mount off", Behaviour: b{SelfMountOff: true}},
		{name: "mount always 202", Behaviour: b{MountAlways202: true}},
		{name: "from ignored, discovers", Behaviour: b{FromIgnored: true, Discovery: registrytest.DiscoveryOn}},
		{name: "from ignored", Behaviour: b{FromIgnored: true, Discovery: registrytest.DiscoveryTargetOnly}},
		{name: "missing source 404", Behaviour: b{MountFromMissing: 404, MountBlobMissing: 404}},
		{name: "missing source 401", Behaviour: b{MountFromMissing: 401}},
		{name: "base unreadable", Behaviour: b{MountFromStatus: map[string]int{"base": 401}}},
		{name: "500 though mounted", Behaviour: b{MountErrorsThoughMounted: true}},
		{name: "phantom mount once", Behaviour: b{PhantomMount: 1}},
		{name: "phantom mounts", Behaviour: b{PhantomMount: -1}},
		{name: "phantom mounts, unnamed", Behaviour: b{PhantomMount: -1, MissingBlobs: registrytest.MissingUnnamed}},
		{name: "phantom mounts, 404", Behaviour: b{PhantomMount: -1, MissingBlobs: registrytest.MissingNotFound}},
		{name: "phantom mounts, 500", Behaviour: b{PhantomMount: -1, MissingBlobs: registrytest.MissingInternal}},
		{name: "phantom mounts, upload unknown", Behaviour: b{PhantomMount: -1, MissingBlobs: registrytest.MissingUploadUnknown}},
		{name: "phantom discovery", Behaviour: b{PhantomMount: -1, Discovery: registrytest.DiscoveryOn}},
		{name: "201 with another digest", Behaviour: b{MountDigest: registrytest.DigestOther}},
		{name: "201 without digest", Behaviour: b{MountDigest: registrytest.DigestNone}},
		{name: "202 without Location", Behaviour: b{AcceptedWithoutLocation: true}},
		{name: "201 without Location", Behaviour: b{CreatedWithoutLocation: true}},
		{name: "only referenced blobs", Behaviour: b{ReferencedOnly: true}},
		{name: "global blobs", Behaviour: b{GlobalBlobs: true, MissingBlobs: registrytest.MissingUnchecked}, unchecked: true},
	}
}

func otherBehaviours() []behaviour {
	type b = registrytest.Behaviour
	return []behaviour{
		{name: "Location absolute", Behaviour: b{LocationForm: registrytest.LocationAbsolute}},
		{name: "Location with state", Behaviour: b{LocationForm: registrytest.LocationStateQuery}},
		{name: "Location with state, streamed", Behaviour: b{LocationForm: registrytest.LocationStateQuery, PutLimit: 1 << 10}, twice: true},
		{name: "Location at another path", Behaviour: b{LocationForm: registrytest.LocationOtherPath}},
		{name: "Location carries the mount", Behaviour: b{LocationForm: registrytest.LocationCarriesMount}},
		{name: "session bound to its digest", Behaviour: b{SessionBoundToDigest: true}},
		{name: "single POST taken", Behaviour: b{SinglePost: registrytest.SinglePostTaken}},
		{name: "single POST wants octets", Behaviour: b{SinglePost: registrytest.SinglePostOctetStream}},
		{name: "PUT over a limit", Behaviour: b{PutLimit: 100 << 10}, twice: true},
		{name: "PUT of unknown size refused", Behaviour: b{PutChunkedRefused: true}},
		{name: "PUT answered 204", Behaviour: b{PutStatus: 204}},
		{name: "PATCH answered 201", Behaviour: b{PutLimit: 100 << 10, PatchStatus: 201}, twice: true},
		{name: "PATCH answered 204 without Location", Behaviour: b{PutLimit: 100 << 10, PatchStatus: 204, PatchWithoutLocation: true}, twice: true},
		{name: "DELETE of a session 400", Behaviour: b{DeleteSession: 400}},
		{name: "DELETE of a session 401", Behaviour: b{DeleteSession: 401}},
		{name: "DELETE of a session 405", Behaviour: b{DeleteSession: 405}},
		{name: "HEAD 401", Behaviour: b{HeadStatus: 401}},
		{name: "HEAD 403", Behaviour: b{HeadStatus: 403}},
		{name: "HEAD 405", Behaviour: b{HeadStatus: 405}},
		{name: "HEAD sees all", Behaviour: b{HeadSeesAll: true}},
		{name: "HEAD sees all, unnamed", Behaviour: b{HeadSeesAll: true, MissingBlobs: registrytest.MissingUnnamed}},
		{name: "HEAD sees all, 500", Behaviour: b{HeadSeesAll: true, MissingBlobs: registrytest.MissingInternal}},
		{name: "HEAD sees all and links", Behaviour: b{HeadSeesAll: true, HeadLinks: true}},
		{name: "HEAD describes something else", Behaviour: b{HeadSize: 86}},
		{name: "missing blobs in text", Behaviour: b{MissingBlobs: registrytest.MissingNamedInText}},
		{name: "missing blobs unnamed", Behaviour: b{MissingBlobs: registrytest.MissingUnnamed}},
		{name: "manifests unchecked", Behaviour: b{MissingBlobs: registrytest.MissingUnchecked}},
		{name: "manifests consistent late", Behaviour: b{EventualManifest: 1}},
		{name: "tag parameters", Behaviour: b{TagParams: true}},
		{name: "manifest HEAD 403", Behaviour: b{ManifestHeadStatus: 403}},
		{name: "name unknown", Behaviour: b{ManifestGetUnknownName: true}},
		{name: "errors in plain text", Behaviour: b{ErrorsPlainText: true}},
		{name: "errors bare", Behaviour: b{ErrorsBare: true}},
		{name: "rate limit at first", Behaviour: b{RateLimit: registrytest.RateLimit{First: 2, RetryAfter: "0"}}},
		{name: "rate limit called 403", Behaviour: b{RateLimit: registrytest.RateLimit{First: 2, Status: 403}}},
		{name: "rate limit in the text", Behaviour: b{RateLimit: registrytest.RateLimit{First: 2, Message: "retry-after: 10.3ms, allowed: 2000/minute"}}},
	}
}

func known() []behaviour {
	var out []behaviour
	for _, k := range registrytest.Registries() {
		b := behaviour{name: "like " + k.Name, Behaviour: k.Behaviour}
		b.twice = k.PutLimit > 0 || k.BodyLimit > 0
		b.unchecked = k.MissingBlobs == registrytest.MissingUnchecked
		out = append(out, b)
	}
	return out
}

// TestBehaviours pushes an image cold, with its base known and with its base
// unknown, to a registry with each manner.
func TestBehaviours(t *testing.T) {
	var all []behaviour
	for _, group := range [][]behaviour{mountAnswers(), mountBehaviours(), otherBehaviours(), known()} {
		all = append(all, group...)
	}
	t.Logf("%d behaviours", len(all))
	for _, b := range all {
		for _, knowledge := range []string{"cold", "base known", "base unknown"} {
			t.Run(b.name+"/"+knowledge, func(t *testing.T) {
				t.Parallel()
				pushUnder(t, b, knowledge)
			})
		}
	}
}

func pushUnder(t *testing.T, b behaviour, knowledge string) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	base, app := layers("base", 3, 70<<10), layers("app", 2, 70<<10)
	var sources []push.Option
	if knowledge != "cold" {
		seed(t, srv.Registry, "base", "v1", image(t, "base", base...))
	}
	if knowledge == "base known" {
		sources = append(sources, push.WithSources(ref(t, srv.Host, "base").Context()))
	}
	srv.Registry.CreateRepository("app")
	srv.Registry.SetBehaviour(func(to *registrytest.Behaviour) { *to = b.Behaviour })
	img := image(t, "app", append(append([]v1.Layer{}, base...), app...)...)
	label(t, srv.Registry, "layer", img)
	report, err := pusher(t, sources...).Push(context.Background(), img, ref(t, srv.Host, "app:v1"))
	defer func() {
		if t.Failed() {
			for _, l := range srv.Registry.Lines() {
				t.Log(l)
			}
			t.Log(report)
		}
	}()
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	if err := srv.Registry.Complete("app", "v1"); err != nil && !b.unchecked {
		t.Errorf("the image is not complete: %v", err)
	}
	if b.DeleteSession == 0 {
		if n := srv.Registry.OpenSessions(); n != 0 {
			t.Errorf("%d sessions left open", n)
		}
	}
	if n := srv.Registry.Count().BytesTwice; n != 0 && !b.twice {
		t.Errorf("%d bytes sent twice", n)
	}
	if !report.Refs[0].Stands {
		t.Error("the report says that the reference does not stand")
	}
}
