package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

const signature = "application/vnd.example.signature"

// describe returns the descriptor of an image.
func describe(t testing.TB, img push.Image) v1.Descriptor {
	t.Helper()
	body, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	mt, err := img.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: mt, Digest: h, Size: int64(len(body))}
}

// artifact returns an image that refers to a subject: one layer, and a config of a
// media type of its own.
func artifact(t testing.TB, id string, subject push.Image) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(image(t, id, layer(id, 100)), signature)
	img = mutate.Annotations(img, map[string]string{"id": id}).(v1.Image)
	return mutate.Subject(img, describe(t, subject)).(v1.Image)
}

// fallback returns the referrers tag of a subject.
func fallback(t testing.TB, subject push.Image) string {
	return strings.ReplaceAll(digestOf(t, subject), ":", "-")
}

// listed returns the entries of the index behind the referrers tag of a subject.
func listed(t testing.TB, r *registrytest.Registry, repo string, subject push.Image) []v1.Descriptor {
	t.Helper()
	body, mt, ok := r.Manifest(repo, fallback(t, subject))
	if !ok {
		return nil
	}
	var idx v1.IndexManifest
	if err := json.Unmarshal(body, &idx); err != nil || mt != string(types.OCIImageIndex) || idx.MediaType != types.OCIImageIndex || idx.SchemaVersion != 2 {
		t.Fatalf("referrers tag: %s, %v: %s", mt, err, body)
	}
	return idx.Manifests
}

// names returns the digests of descriptors, sorted.
func names(ds []v1.Descriptor) []string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Digest.String())
	}
	slices.Sort(out)
	return out
}

// TestSubject pushes two artifacts of one subject, and the first again: to a
// registry that lists them by itself, and to one that does not.
func TestSubject(t *testing.T) {
	subject := image(t, "app", layer("app", 1<<10))
	a, b := artifact(t, "a", subject), artifact(t, "b", subject)
	for _, lists := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{Subject: lists})
			for i, img := range []v1.Image{a, b, a} {
				r.ResetLog()
				report, err := pusher(t, push.WithTransport(r.Client())).Push(context.Background(), img, ref(t, faultHost, fmt.Sprintf("app:sig%d", i%2)))
				if err != nil {
					t.Fatal(err)
				}
				want := push.ReferrersReport{
					Repository: faultHost + "/app", Subject: digest.Digest(digestOf(t, subject)),
					Manifests: []digest.Digest{digest.Digest(digestOf(t, img))}, Unchanged: i == 2,
				}
				if !lists {
					want.Tag = fallback(t, subject)
				}
				if got := fmt.Sprintf("%+v", report.Referrers); got != fmt.Sprintf("%+v", []push.ReferrersReport{want}) {
					t.Errorf("lists %v, push %d: report %s, want %+v", lists, i, got, want)
				}
				if n := r.Count().Requests; i == 2 && n > 3 {
					t.Errorf("lists %v: %d requests for what stands\n%s", lists, n, strings.Join(r.Lines(), "\n"))
				}
			}
			checkListed(t, r, lists, subject, a, b)
		})
	}
}

func checkListed(t *testing.T, r *registrytest.Registry, lists bool, subject push.Image, artifacts ...v1.Image) {
	t.Helper()
	got := listed(t, r, "app", subject)
	if lists {
		if got != nil {
			t.Errorf("a referrers tag where there need be none: %v", got)
		}
		return
	}
	if len(got) != len(artifacts) {
		t.Fatalf("%d entries, want %d", len(got), len(artifacts))
	}
	for i, img := range artifacts {
		want := describe(t, img)
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		want.ArtifactType, want.Annotations = signature, m.Annotations
		if fmt.Sprint(got[i]) != fmt.Sprint(want) {
			t.Errorf("entry %d is %v, want %v", i, got[i], want)
		}
	}
	for _, v := range r.Violations() {
		t.Error(v)
	}
}

// TestSubjectOfChildren pushes an index whose children refer to each other, with an
// attestation as BuildKit makes them, which has no subject.
func TestSubjectOfChildren(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	app := image(t, "app", layer("app", 1<<10))
	sig1, sig2 := artifact(t, "1", app), artifact(t, "2", app)
	attestation := mutate.ConfigMediaType(image(t, "att", layer("att", 50)), "application/vnd.oci.empty.v1+json")
	idx := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: app}, mutate.IndexAddendum{Add: sig1}, mutate.IndexAddendum{Add: sig2},
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		}})
	report, err := push.Push(context.Background(), idx, ref(t, srv.Host, "app:v1"), ref(t, srv.Host, "copy:v1"))
	if err != nil {
		t.Fatal(err)
	}
	want := names([]v1.Descriptor{describe(t, sig1), describe(t, sig2)})
	for _, repo := range []string{"app", "copy"} {
		if err := srv.Registry.Complete(repo, "v1"); err != nil {
			t.Error(err)
		}
		if got := names(listed(t, srv.Registry, repo, app)); !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", repo, got, want)
		}
	}
	if len(report.Referrers) != 2 || len(report.Referrers[0].Manifests) != 2 {
		t.Errorf("report %+v", report.Referrers)
	}
}

// TestReferrersKept: what others have written into the list stays, but for what
// the registry does not hold and refuses the list for.
func TestReferrersKept(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	subject := image(t, "app")
	other := srv.Registry.PutManifest("app", "", string(types.OCIImageIndex), []byte(`{"schemaVersion":2,"manifests":[]}`))
	gone := digest.FromString("gone")
	entry := func(d digest.Digest) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":34,"x-odd":[1,2]}`, types.OCIImageIndex, d)
	}
	list := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"annotations":{"who":"me"},"manifests":[%s,%s]}`, types.OCIImageIndex, entry(gone), entry(other))
	srv.Registry.PutManifest("app", fallback(t, subject), string(types.OCIImageIndex), []byte(list))
	a := artifact(t, "a", subject)
	if _, err := push.Push(context.Background(), a, ref(t, srv.Host, "app:a")); err != nil {
		t.Fatal(err)
	}
	got := listed(t, srv.Registry, "app", subject)
	if len(got) != 2 || got[0].Digest.String() != other.String() || got[1].Digest.String() != digestOf(t, a) {
		t.Errorf("entries %v", names(got))
	}
	body, _, _ := srv.Registry.Manifest("app", fallback(t, subject))
	if !strings.Contains(string(body), entry(other)) || !strings.Contains(string(body), `"who":"me"`) {
		t.Errorf("what others wrote is gone: %s", body)
	}
}

// TestReferrersHealed: a push that was stopped before the list was up to date is
// mended by the next, though its image stands.
func TestReferrersHealed(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	subject := image(t, "app")
	a := artifact(t, "a", subject)
	seed(t, srv.Registry, "app", "a", a)
	report, err := push.Push(context.Background(), a, ref(t, srv.Host, "app:a"))
	if err != nil || !report.Refs[0].Unchanged || report.Referrers[0].Unchanged {
		t.Errorf("%+v, %v", report, err)
	}
	if got := listed(t, srv.Registry, "app", subject); len(got) != 1 {
		t.Errorf("entries %v", got)
	}
}

// TestReferrersTaken: something else is behind the referrers tag. The image
// stands, and the error says what does not.
func TestReferrersTaken(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	subject := image(t, "app")
	seed(t, srv.Registry, "app", fallback(t, subject), image(t, "other"))
	report, err := push.Push(context.Background(), artifact(t, "a", subject), ref(t, srv.Host, "app:a"))
	var pe *push.Error
	if !errors.Is(err, push.ErrReferrers) || !errors.As(err, &pe) || pe.Digest.String() != digestOf(t, subject) {
		t.Errorf("error %v", err)
	}
	if !report.Refs[0].Stands || report.Refs[0].Err != nil || report.Referrers[0].Err == nil || report.Referrers[0].Error == "" {
		t.Errorf("report %+v", report)
	}
	if !strings.Contains(report.String(), "referrers tag") {
		t.Errorf("report does not say it:\n%s", report)
	}
}

// TestReferrersFaults lets each request of a push of an artifact meet each fault:
// without an error, it is listed.
func TestReferrersFaults(t *testing.T) {
	subject := image(t, "app")
	a := artifact(t, "a", subject)
	run := func(t *testing.T, faults ...registrytest.Fault) (*registrytest.Registry, error) {
		r := registrytest.New(registrytest.Behaviour{})
		r.Inject(faults...)
		report, err := pusher(t, push.WithTransport(r.Client()), push.WithConcurrency(1)).Push(context.Background(), a, ref(t, faultHost, "app:a"))
		if got := listed(t, r, "app", subject); err == nil && len(got) != 1 {
			t.Errorf("no error, but entries %v", got)
		}
		if report.Refs[0].Stands && err != nil && !errors.Is(err, push.ErrReferrers) {
			t.Errorf("the reference stands, and yet: %v", err)
		}
		return r, err
	}
	requests := 0
	synctest.Test(t, func(t *testing.T) {
		r, err := run(t)
		if err != nil {
			t.Fatal(err)
		}
		requests = r.Count().Requests
	})
	for n := range requests {
		for name, f := range faults() {
			if name == "401" {
				continue // nothing expires
			}
			t.Run(fmt.Sprintf("request %d/%s", n, name), func(t *testing.T) {
				f.Skip, f.Times = n, 1
				synctest.Test(t, func(t *testing.T) {
					if r, err := run(t, f); err != nil {
						t.Errorf("once: %v\n%s", err, strings.Join(r.Lines(), "\n"))
					}
				})
				f.Times = 0
				synctest.Test(t, func(t *testing.T) { _, _ = run(t, f) })
			})
		}
	}
}
