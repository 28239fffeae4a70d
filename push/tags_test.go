package push_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/internal/wire"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// tagged returns n references to tags of a repository, t1 to tn.
func tagged(t testing.TB, host, repo string, n int) []name.Reference {
	t.Helper()
	refs := make([]name.Reference, n)
	for i := range refs {
		refs[i] = ref(t, host, fmt.Sprintf("%s:t%d", repo, i+1))
	}
	return refs
}

// manifestPuts returns the lines of the log that put manifests of a repository.
func manifestPuts(r *registrytest.Registry, repo string) []string {
	var out []string
	lines := r.Lines()
	for i, e := range r.Log() {
		if e.Kind == wire.ManifestPut && e.Repository == repo {
			out = append(out, lines[i])
		}
	}
	return out
}

// TestTagParams counts the manifests that a push puts in all, and those that the
// next one of the same Pusher puts, in another repository.
func TestTagParams(t *testing.T) {
	for _, c := range []struct {
		name        string
		b           registrytest.Behaviour
		tags        int
		first, next int
	}{
		{"ignored, three tags", registrytest.Behaviour{}, 3, 3, 3},
		{"ignored, many tags: tried once", registrytest.Behaviour{}, 8, 9, 8},
		{"honoured, three tags: not worth a try", registrytest.Behaviour{TagParams: true}, 3, 3, 3},
		{"honoured, many tags", registrytest.Behaviour{TagParams: true}, 8, 1, 1},
		{"honoured and told of, three tags", registrytest.Behaviour{TagParams: true, TagHeader: true}, 3, 2, 1},
		{"honoured, not more than five", registrytest.Behaviour{TagParams: true, TagParamsMax: 5}, 8, 4, 4},
		{"more tags than are asked for at once", registrytest.Behaviour{TagParams: true}, 120, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := registrytest.Start(t, c.b)
			p := pusher(t)
			for i, want := range []int{c.first, c.next} {
				repo := fmt.Sprint("app", i)
				img := image(t, repo, layer("a", 1<<10))
				refs := tagged(t, srv.Host, repo, c.tags)
				report, err := p.Push(context.Background(), img, refs...)
				if err != nil {
					t.Fatal(err)
				}
				if puts := manifestPuts(srv.Registry, repo); len(puts) != want {
					t.Errorf("%s: %d manifests put, want %d\n%s", repo, len(puts), want, strings.Join(puts, "\n"))
				}
				for i, ref := range refs {
					if err := srv.Registry.Complete(repo, ref.Identifier()); err != nil || !report.Refs[i].Stands {
						t.Errorf("%s: %v, %+v", ref, err, report.Refs[i])
					}
				}
			}
			for _, v := range srv.Registry.Violations() {
				t.Error(v)
			}
		})
	}
}

// TestTagParamsAgain: where the host is known to set all tags at once, that is
// done without asking which of them stand.
func TestTagParamsAgain(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{TagParams: true})
	p := pusher(t)
	img := image(t, "1", layer("a", 1<<10))
	refs := tagged(t, srv.Host, "app", 6)
	for range 2 {
		srv.Registry.ResetLog()
		if _, err := p.Push(context.Background(), img, refs...); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.Registry.Count().Requests; n != 2 {
		t.Errorf("%d requests, want 2\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestTagsAndDigest pushes to tags, the same tag again, and the digest.
func TestTagsAndDigest(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	img := image(t, "1", layer("a", 1<<10))
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	byDigest := ref(t, srv.Host, "app@"+h.String())
	refs := []name.Reference{byDigest, ref(t, srv.Host, "app:a"), ref(t, srv.Host, "app:b"), ref(t, srv.Host, "app:a")}
	for i, want := range []int{2, 0} {
		srv.Registry.ResetLog()
		report, err := push.Push(context.Background(), img, refs...)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range report.Refs {
			if !r.Stands || r.Unchanged != (i == 1) {
				t.Errorf("push %d: %+v", i+1, r)
			}
		}
		if puts := manifestPuts(srv.Registry, "app"); len(puts) != want {
			t.Errorf("push %d: %d manifests put, want %d: %v", i+1, len(puts), want, puts)
		}
	}
	srv.Registry.ResetLog()
	if _, err := push.Push(context.Background(), image(t, "2"), ref(t, srv.Host, "new@"+digestOf(t, image(t, "2")))); err != nil {
		t.Fatal(err)
	}
	if puts := manifestPuts(srv.Registry, "new"); len(puts) != 1 {
		t.Errorf("digest alone: %v", puts)
	}
}

func digestOf(t testing.TB, img push.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// TestImmutableTags: one tag must not move, another stands with the image, others
// are new. Each stands or fails by itself, with and without tags as parameters.
func TestImmutableTags(t *testing.T) {
	for _, params := range []bool{false, true} {
		srv := registrytest.Start(t, registrytest.Behaviour{ImmutableTags: true, TagParams: params})
		p := pusher(t)
		if _, err := p.Push(context.Background(), image(t, "0"), tagged(t, srv.Host, "other", 8)...); err != nil {
			t.Fatal(err)
		}
		old, img := image(t, "old", layer("old", 1<<10)), image(t, "new", layer("new", 1<<10))
		seed(t, srv.Registry, "app", "taken", old)
		seed(t, srv.Registry, "app", "done", img)
		report, err := p.Push(context.Background(), img, ref(t, srv.Host, "app:taken"), ref(t, srv.Host, "app:done"), ref(t, srv.Host, "app:v1"), ref(t, srv.Host, "app:v2"))
		var pe *push.Error
		if !errors.Is(err, push.ErrTagImmutable) || !errors.As(report.Refs[0].Err, &pe) || !errors.As(pe.Err, &pe) ||
			pe.Digest.String() != digestOf(t, old) || !strings.Contains(pe.Ref, "app:taken") {
			t.Errorf("params %v: error %v", params, err)
		}
		if n := len(strings.Split(err.Error(), "\n")); n != 1 {
			t.Errorf("params %v: %d errors, want 1: %v", params, n, err)
		}
		for i, stands := range []bool{false, true, true, true} {
			if report.Refs[i].Stands != stands || (report.Refs[i].Err == nil) != stands {
				t.Errorf("params %v: %+v", params, report.Refs[i])
			}
		}
		body, _, _ := srv.Registry.Manifest("app", "taken")
		if digest.FromBytes(body).String() != digestOf(t, old) {
			t.Error("the tag moved")
		}
		for _, tag := range []string{"done", "v1", "v2"} {
			if err := srv.Registry.Complete("app", tag); err != nil {
				t.Error(err)
			}
		}
	}
}

// refusing answers manifest PUTs to some references itself.
type refusing struct {
	http.RoundTripper
	references []string
	status     int
	body       string
}

func (f refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	_, reference, _ := strings.Cut(req.URL.Path, "/manifests/")
	if req.Method != http.MethodPut || !slices.Contains(f.references, reference) {
		return f.RoundTripper.RoundTrip(req)
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: f.status, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(f.body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, req.Body.Close()
}

// refusal is a body of one error.
func refusal(code, message string) string {
	return string(wire.FormatErrors(wire.Error{Code: wire.Code(code), Message: message}))
}

// TestImmutableAnswers has the words of known registries. A tag that stands with
// the image already is success, though the registry refuses it (ECR does).
func TestImmutableAnswers(t *testing.T) {
	old, img := image(t, "old", layer("old", 1<<10)), image(t, "new", layer("new", 1<<10))
	for _, c := range []struct {
		name      string
		status    int
		body      string
		immutable bool
	}{
		{"ECR", 400, refusal("TAG_INVALID", "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable."), true},
		{"ECR, same image", 400, refusal("ImageAlreadyExistsException", "Image with digest and tag already exists"), true},
		{"Artifact Registry", 400, refusal("MANIFEST_INVALID", "cannot update tag v1. The repository has enabled tag immutability"), true},
		{"Harbor", 412, refusal("PRECONDITION", "Failed to process request due to 'app:v1' configured as immutable."), true},
		{"ACR", 405, refusal("REGISTRY_DISALLOWED_OPERATION", "The operation is disallowed on this registry, repository or image."), true},
		{"plain text", 409, "tag v1 is immutable", true},
		{"not a word of it", 403, refusal("DENIED", "requested access to the resource is denied"), false},
	} {
		for i := range 4 {
			same, b := i%2 == 0, registrytest.Behaviour{}
			if i > 1 {
				b.ManifestHeadStatus = 403
			}
			r := registrytest.New(b)
			at := old
			if same {
				at = img
			}
			seed(t, r, "app", "v1", at)
			p := pusher(t, push.WithForceUpload(), push.WithTransport(refusing{r.Client(), []string{"v1"}, c.status, c.body}))
			report, err := p.Push(context.Background(), img, ref(t, faultHost, "app:v1"), ref(t, faultHost, "app:v2"))
			stands := c.immutable && same
			if report.Refs[0].Stands != stands || report.Refs[0].Unchanged != stands || (err == nil) != stands {
				t.Errorf("%s, same image %v: %+v, %v", c.name, same, report.Refs[0], err)
			}
			if want := c.immutable && !same; errors.Is(err, push.ErrTagImmutable) != want {
				t.Errorf("%s, same image %v: matches ErrTagImmutable: %v, want %v: %v", c.name, same, !want, want, err)
			}
			if !report.Refs[1].Stands {
				t.Errorf("%s, same image %v: the other tag: %+v", c.name, same, report.Refs[1])
			}
		}
	}
}

// TestRefused says how many references are tried when some are refused.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused []string
		status  int
		body    string
		puts    int
		stands  string // of t1 to t4 and the digest, one letter each
	}{
		{"a rule for one tag", []string{"t1"}, 403, refusal("DENIED", "protected tag"), 4, "-++++"},
		{"a rule for two tags ends it", []string{"t1", "t2"}, 403, refusal("DENIED", "protected tag"), 2, "-----"},
		{"tags that are invalid", []string{"t1", "t2", "t3", "t4"}, 400, refusal("TAG_INVALID", "tag does not match"), 5, "----+"},
		{"the manifest is refused", []string{"t1"}, 413, "", 1, "-----"},
		{"one tag later on", []string{"t3"}, 500, "", 5, "++-++"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := registrytest.New(registrytest.Behaviour{})
			counted := &counting{RoundTripper: refusing{r.Client(), c.refused, c.status, c.body}}
			img := image(t, "new", layer("new", 1<<10))
			refs := append(tagged(t, faultHost, "app", 4), ref(t, faultHost, "app@"+digestOf(t, img)))
			p := pusher(t, push.WithTransport(counted), push.WithRetry(transport.Retry{Attempts: 1}), push.WithConcurrency(1))
			report, err := p.Push(context.Background(), img, refs...)
			got := ""
			for _, r := range report.Refs {
				if r.Stands != (r.Err == nil) {
					t.Errorf("%+v", r)
				}
				got += map[bool]string{true: "+", false: "-"}[r.Stands]
			}
			if got != c.stands || (err == nil) != !strings.Contains(got, "-") {
				t.Errorf("stand: %s, want %s: %v", got, c.stands, err)
			}
			if n := counted.count("PUT", "/manifests/"); n != c.puts {
				t.Errorf("%d manifests put, want %d", n, c.puts)
			}
		})
	}
}

// counting notes the requests that it carries.
type counting struct {
	http.RoundTripper
	seen []string
}

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.seen = append(c.seen, req.Method+" "+req.URL.Path)
	return c.RoundTripper.RoundTrip(req)
}

// count says how many requests with a method had part in their path.
func (c *counting) count(method, part string) int {
	n := 0
	for _, s := range c.seen {
		if strings.HasPrefix(s, method) && strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// TestUnheardTags: a registry that goes away after the first tag is not asked anew
// for each of the others.
func TestUnheardTags(t *testing.T) {
	r := registrytest.New(registrytest.Behaviour{})
	r.Inject(registrytest.Fault{
		Match: func(e registrytest.Entry) bool { return e.Kind == wire.ManifestPut }, Skip: 1, Do: registrytest.Refuse,
	})
	p := pusher(t, push.WithTransport(r.Client()), push.WithRetry(transport.Retry{Attempts: 1}), push.WithConcurrency(1))
	report, err := p.Push(context.Background(), image(t, "1", layer("a", 1<<10)), tagged(t, faultHost, "app", 5)...)
	if !errors.Is(err, transport.ErrUnheard) || !report.Refs[0].Stands {
		t.Errorf("error %v, first %+v", err, report.Refs[0])
	}
	if n := len(manifestPuts(r, "app")); n != 2 {
		t.Errorf("%d manifests put, want 2", n)
	}
	for _, ref := range report.Refs[1:] {
		if ref.Stands || ref.Err == nil {
			t.Errorf("%+v", ref)
		}
	}
}
