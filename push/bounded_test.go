package push

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// hollow answers as registries that hold nothing, take all, and forget it at
// once; some of them want tokens, which their token servers give.
type hollow struct{}

// RoundTrip answers a request.
func (hollow) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close()
	}
	header, status, body := http.Header{}, http.StatusNotFound, ""
	switch host := req.URL.Host; {
	case strings.HasPrefix(host, "auth."):
		status, body = http.StatusOK, fmt.Sprintf(`{"token":"%x","expires_in":300}`, sha256.Sum256([]byte(req.URL.RawQuery)))
	case strings.HasPrefix(host, "tokens") && req.Header.Get("Authorization") == "":
		status = http.StatusUnauthorized
		header.Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="https://auth.%s/token",service="registry"`, host))
	case req.Method == http.MethodPost:
		status = http.StatusAccepted
		header.Set("Location", req.URL.Path+"session")
	case req.Method == http.MethodPut:
		status = http.StatusCreated
	case req.Method == http.MethodDelete:
		status = http.StatusNoContent
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
	}, nil
}

// smallImage is an image of one layer, made without much ado.
type smallImage struct {
	v1.Image
	manifest, config []byte
	layer            v1.Layer
}

func newSmallImage(i int) smallImage {
	layer := static.NewLayer(fmt.Appendf(nil, "layer %d", i), types.OCILayer)
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","number":%d}`, i)
	d, err := layer.Digest()
	if err != nil {
		panic(err) // it is in memory
	}
	return smallImage{empty.Image, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":%d,"digest":"%s"},"layers":[{"mediaType":%q,"size":%d,"digest":"%s"}]}`,
		types.OCIManifestSchema1, types.OCIConfigJSON, len(config), digest.FromBytes(config), types.OCILayer, len(fmt.Sprintf("layer %d", i)), d,
	), config, layer}
}

func (i smallImage) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (i smallImage) RawManifest() ([]byte, error)        { return i.manifest, nil }
func (i smallImage) RawConfigFile() ([]byte, error)      { return i.config, nil }
func (i smallImage) Layers() ([]v1.Layer, error)         { return []v1.Layer{i.layer}, nil }
func (i smallImage) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(i.manifest))
	return h, err
}

// liveHeap returns the bytes that live objects take.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// keychain gives each repository a credential of its own.
type keychain struct{}

func (keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: r.String(), Password: fmt.Sprintf("%x", sha256.Sum256([]byte(r.String())))}, nil
}

// boundedRef returns where push n of TestStaysBounded goes. Most go to one
// registry, with a repository, a credential and a token for each; the others to
// registries that come back after a while, or never.
func boundedRef(n int) string {
	host := "tokens.example"
	switch n % 8 {
	case 3:
		host = fmt.Sprintf("often%d.example", n/8%601)
	case 7:
		host = fmt.Sprintf("once%d.example", n)
	}
	return fmt.Sprintf("%s/team%d/app:v%d", host, n, n)
}

// TestStaysBounded: what a Pusher remembers reaches its bounds and stays there,
// however many images it pushes, to however many repositories and registries. The
// environment variable PUSHES says how many.
func TestStaysBounded(t *testing.T) {
	const most = 2 << 20
	full, pushes := 3000, 6000
	if raceEnabled {
		full, pushes = 500, 1000
	}
	if n, err := strconv.Atoi(os.Getenv("PUSHES")); err == nil {
		pushes = n
	}
	p, err := New(WithTransport(hollow{}), WithKeychain(keychain{}))
	if err != nil {
		t.Fatal(err)
	}
	rememberMuch(p)
	var next atomic.Int64
	upTo := func(end int) int64 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n := int(next.Add(1)); n <= end; n = int(next.Add(1)) {
					pushSmall(t, p, n)
				}
			})
		}
		wg.Wait()
		next.Store(int64(end))
		return liveHeap()
	}
	before := upTo(full)
	after := upTo(pushes)
	t.Logf("the heap holds %d bytes after %d pushes, %d after %d", before, full, after, pushes)
	if after-before > most {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	if n := p.hosts.Len(); n > maxHosts {
		t.Errorf("%d registries, more than %d", n, maxHosts)
	}
	if u, q := len(p.sending.uploads), len(p.turns.queues); u+q != 0 {
		t.Errorf("%d uploads and %d queues are left", u, q)
	}
	for key, u := range p.hosts.All() {
		if u.users != 0 {
			t.Errorf("%v is in use by %d", key, u.users)
		}
	}
}

// rememberMuch lets a Pusher remember as much as 20,000 pushes would.
func rememberMuch(p *Pusher) {
	for i := range 60_000 {
		host, repository := fmt.Sprintf("often%d.example", i%601), fmt.Sprintf("team%d/app", i)
		d := digest.FromString(repository)
		p.ledger.Record(host, repository, mount.InTarget(d, mount.Placed))
		if i%3 == 0 {
			p.ledger.SetLast(host, repository, []string{"latest"}, d)
		}
	}
}

func pushSmall(t *testing.T, p *Pusher, n int) {
	ref, err := name.ParseReference(boundedRef(n))
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := p.Push(context.Background(), newSmallImage(n), ref); err != nil {
		t.Error(err)
	}
}

// TestHostsInUse: a registry that is in use is not forgotten, however many others
// are pushed to meanwhile; once it is not, it goes like any other.
func TestHostsInUse(t *testing.T) {
	p, err := New(WithTransport(hollow{}))
	if err != nil {
		t.Fatal(err)
	}
	registry := func(i int) name.Registry {
		r, err := name.NewRegistry(fmt.Sprintf("registry%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	others := func(n int) {
		for i := range n {
			p.host(registry(1 + i))
			p.leave(registry(1 + i))
		}
	}
	first := p.host(registry(0))
	others(2 * maxHosts)
	if p.host(registry(0)) != first || p.hosts.Len() != maxHosts {
		t.Errorf("forgotten while in use; %d registries", p.hosts.Len())
	}
	p.leave(registry(0))
	others(2 * maxHosts)
	if p.host(registry(0)) != first {
		t.Error("forgotten while in use by one of two")
	}
	p.leave(registry(0))
	p.leave(registry(0))
	others(2 * maxHosts)
	if p.host(registry(0)) == first || p.hosts.Len() != maxHosts {
		t.Errorf("not forgotten; %d registries", p.hosts.Len())
	}
	for i := range 2 * maxHosts { // all at once
		p.host(registry(1 + i))
	}
	if n := p.hosts.Len(); n <= 2*maxHosts {
		t.Errorf("%d registries are in use", n)
	}
	for i := range 2 * maxHosts {
		p.leave(registry(1 + i))
	}
	if n := p.hosts.Len(); n != maxHosts {
		t.Errorf("%d registries are left", n)
	}
}
