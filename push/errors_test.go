package push_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
	"github.com/crossmount/crossmount/transport"
)

// badLayer is a layer whose content is not what its descriptor says.
type badLayer struct {
	v1.Layer
	open func() (io.ReadCloser, error)
}

func (l badLayer) Compressed() (io.ReadCloser, error) { return l.open() }

func bytesOf(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

var errDisk = errors.New("the disk is on fire")

// TestBadContent: whatever is wrong with a layer, the error names it, nothing
// of it is published and no tag moves.
func TestBadContent(t *testing.T) {
	good := layer("good", 100<<10)
	cases := map[string]func() (io.ReadCloser, error){
		"other bytes": bytesOf(make([]byte, 100<<10)),
		"cut short":   bytesOf(make([]byte, 50<<10)),
		"too long":    bytesOf(make([]byte, 200<<10)),
		"empty":       bytesOf(nil),
		"cannot open": func() (io.ReadCloser, error) { return nil, errDisk },
		"cannot be read": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("x"), failing{})), nil
		},
	}
	for name, open := range cases {
		t.Run(name, func(t *testing.T) {
			srv := registrytest.Start(t, registrytest.Behaviour{MissingBlobs: registrytest.MissingUnchecked})
			old := image(t, "old", layer("old", 1<<10))
			seed(t, srv.Registry, "app", "v1", old)
			img := image(t, "new", badLayer{good, open}, layer("fine", 1<<10))
			report, err := pusher(t).Push(context.Background(), img, ref(t, srv.Host, "app:v1"))
			d, _ := good.Digest()
			var pe *push.Error
			if !errors.As(err, &pe) || !errors.Is(err, push.ErrContent) || !strings.Contains(err.Error(), d.String()) {
				t.Fatalf("error %v, want a *push.Error that matches ErrContent and names %s", err, d)
			}
			if strings.HasPrefix(name, "cannot") && !errors.Is(err, errDisk) {
				t.Errorf("error %v does not wrap the cause", err)
			}
			if report.Refs[0].Stands || report.Refs[0].Err == nil {
				t.Errorf("report %+v", report.Refs[0])
			}
			if _, ok := srv.Registry.Blob("app", digest.Digest(d.String())); ok {
				t.Error("the layer was published")
			}
			if err := srv.Registry.Complete("app", "v1"); err != nil {
				t.Error(err)
			}
			oldDigest, _ := old.Digest()
			if body, _, _ := srv.Registry.Manifest("app", "v1"); digest.FromBytes(body).String() != oldDigest.String() {
				t.Error("the tag moved")
			}
			if n := srv.Registry.OpenSessions(); n != 0 {
				t.Errorf("%d sessions left open", n)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDisk }

// TestBadInput: an error before anything is sent.
func TestBadInput(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	img := image(t, "app", layer("a", 1<<10))
	tag := ref(t, srv.Host, "app:v1")
	other, err := name.NewDigest(srv.Host + "/app@sha256:" + strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	streaming, err := mutate.AppendLayers(empty.Image, stream.NewLayer(io.NopCloser(strings.NewReader("x"))))
	if err != nil {
		t.Fatal(err)
	}
	var typedNil *brokenImage
	cases := []struct {
		name  string
		image push.Image
		refs  []name.Reference
		want  error
	}{
		{"nil image", nil, []name.Reference{tag}, push.ErrNoImage},
		{"typed nil image", typedNil, []name.Reference{tag}, push.ErrNoImage},
		{"no refs", img, nil, push.ErrNoRefs},
		{"nil ref", img, []name.Reference{tag, nil}, push.ErrReference},
		{"nil tag", img, []name.Reference{(*name.Tag)(nil)}, push.ErrReference},
		{"nil digest", img, []name.Reference{(*name.Digest)(nil)}, push.ErrReference},
		{"zero tag", img, []name.Reference{name.Tag{}}, push.ErrReference},
		{"other digest", img, []name.Reference{other}, push.ErrReference},
		{"other digest, pointed to", img, []name.Reference{&other}, push.ErrReference},
		{"streaming layers in an index", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: streaming}), []name.Reference{tag}, stream.ErrNotComputed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			report, err := push.Push(context.Background(), c.image, c.refs...)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want one that matches %v", err, c.want)
			}
			if report == nil {
				t.Error("no report")
			}
		})
	}
	if n := srv.Registry.Count().Requests; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestPointers: tags and digests may be pointed to.
func TestPointers(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	img := image(t, "app", layer("a", 1<<10))
	tag, err := name.NewTag(srv.Host + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	d := tag.Context().Digest(digestOf(t, img))
	report, err := push.Push(context.Background(), img, &d, &tag)
	if err != nil || !report.Refs[0].Stands || !report.Refs[1].Stands {
		t.Errorf("%v\n%s", err, report)
	}
	if tags := srv.Registry.Tags("app"); !slices.Equal(tags, []string{"v1"}) {
		t.Errorf("tags %v", tags)
	}
}

type brokenImage struct{ v1.Image }

// TestRefusals: an error that says what was refused, by whom and why.
func TestRefusals(t *testing.T) {
	img := image(t, "app", layer("a", 1<<10))
	tokens, realm := registrytest.StartTokenServer(t, registrytest.TokenBehaviour{
		Users: map[string]registrytest.TokenUser{"alice": {Password: "wonder", Access: []string{"mine/*:pull,push"}}},
	})
	srv := registrytest.Start(t, registrytest.Behaviour{Auth: tokens.Auth(realm)})
	p := pusher(t, alice())
	report, err := p.Push(context.Background(), img, ref(t, srv.Host, "theirs/app:v1"), ref(t, srv.Host, "mine/app:v1"))
	if !errors.Is(err, transport.ErrUnauthorized) && !errors.Is(err, transport.ErrDenied) {
		t.Errorf("error %v, want one that matches ErrUnauthorized or ErrDenied", err)
	}
	if report.Refs[0].Stands || !report.Refs[1].Stands {
		t.Errorf("report %+v, want only the second reference to stand", report.Refs)
	}
	if err := srv.Registry.Complete("mine/app", "v1"); err != nil {
		t.Error(err)
	}
	if strings.Contains(err.Error(), "wonder") {
		t.Error("the error holds the password")
	}
	var te *transport.Error
	if !errors.As(err, &te) || te.Host != srv.Host || te.Repository != "theirs/app" || te.Status == 0 {
		t.Errorf("transport error %+v", te)
	}
}

// TestNobodyHome: a registry that is not there is an error in bounded time.
func TestNobodyHome(t *testing.T) {
	host, stop, err := registrytest.Serve(registrytest.New(registrytest.Behaviour{}))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	img, err := random.Image(1<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	fast := push.WithRetry(transport.Retry{Attempts: 3, Base: time.Millisecond})
	report, err := pusher(t, fast).Push(context.Background(), img, ref(t, host, "app:v1"))
	if !errors.Is(err, transport.ErrUnheard) || report.Refs[0].Stands {
		t.Errorf("error %v", err)
	}
}

// TestCancelled: a cancelled push returns at once and leaves no session.
func TestCancelled(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	srv.Registry.Inject(registrytest.Fault{Match: func(e registrytest.Entry) bool { return e.Method == "PUT" }, Do: registrytest.Stall})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(200*time.Millisecond, cancel)
	began := time.Now()
	_, err := pusher(t).Push(ctx, image(t, "app", layers("l", 5, 100<<10)...), ref(t, srv.Host, "app:v1"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if n := srv.Registry.OpenSessions(); n != 0 {
		t.Errorf("%d sessions left open\n%s", n, strings.Join(srv.Registry.Lines(), "\n"))
	}
}

// TestOptions: what does not fit is said at New.
func TestOptions(t *testing.T) {
	for name, opt := range map[string]push.Option{
		"nil option": nil, "nil keychain": push.WithKeychain(nil), "nil transport": push.WithTransport(nil),
		"nil logger": push.WithLogger(nil), "no concurrency": push.WithConcurrency(0), "huge concurrency": push.WithConcurrency(1 << 20),
		"source without name": push.WithSources(emptyRepository()), "no base": push.WithBases(nil), "nil evidence": push.WithEvidence(nil),
		"no name to mount from": push.WithMountsFrom(""), "all names to mount from": push.WithMountsFrom("/"), "no stall": push.WithStall(0),
	} {
		if _, err := push.New(opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := push.New(push.WithForceUpload(), push.WithStrictChecks()); err == nil {
		t.Error("force and strict: no error")
	}
}

// TestUserAgent: every request says what the caller wants it to say, those for
// tokens too.
func TestUserAgent(t *testing.T) {
	for want, opts := range map[string][]push.Option{"crossmount": nil, "builder/1.2": {push.WithUserAgent("builder/1.2")}} {
		a := startAuthorized(t, registrytest.Behaviour{}, registrytest.TokenBehaviour{})
		n := 0
		spy := roundTripper(func(r *http.Request) (*http.Response, error) {
			if n++; r.UserAgent() != want {
				t.Errorf("%s %s: User-Agent %q, want %q", r.Method, r.URL.Path, r.UserAgent(), want)
			}
			return http.DefaultTransport.RoundTrip(r)
		})
		p := pusher(t, append(opts, alice(), push.WithConcurrency(1), push.WithTransport(spy))...)
		if _, err := p.Push(context.Background(), image(t, "1", layer("l", 1<<10)), ref(t, a.Host, "team/app:v1")); err != nil {
			t.Fatal(err)
		}
		if n != a.total() {
			t.Errorf("%d requests seen of %d", n, a.total())
		}
	}
}

func emptyRepository() name.Repository { return name.Repository{} }

// TestStreaming pushes an image with a layer that can be read once, to two
// repositories.
func TestStreaming(t *testing.T) {
	srv := registrytest.Start(t, registrytest.Behaviour{})
	img, err := mutate.AppendLayers(empty.Image, layer("base", 1<<10), stream.NewLayer(io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20)))))
	if err != nil {
		t.Fatal(err)
	}
	report, err := push.Push(context.Background(), img, ref(t, srv.Host, "app:v1"), ref(t, srv.Host, "copy:v1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(srv.Registry.Complete("app", "v1"), srv.Registry.Complete("copy", "v1")); err != nil {
		t.Error(err)
	}
	if n := srv.Registry.Count().BytesTwice; n != 0 || report.Sent == 0 {
		t.Errorf("%d bytes sent twice, %d sent", n, report.Sent)
	}
}
