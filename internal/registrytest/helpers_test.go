package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// peer sends requests to one registry.
type peer struct {
	t         testing.TB
	transport http.RoundTripper
	base      string
	token     string
}

func newPeer(t testing.TB, r *Registry) *peer {
	return &peer{t: t, transport: r.Client(), base: "http://registry.test"}
}

// answer is a reply, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of the request, or of reading the body
}

func (a answer) location() string { return a.header.Get("Location") }

// do sends a request. headers are "Key: value"; a body gets the Content-Type of a blob unless they say
// otherwise.
func (p *peer) do(method, target string, body []byte, headers ...string) answer {
	p.t.Helper()
	url := target
	if strings.HasPrefix(target, "/") {
		url = p.base + target
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, reader)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", octetStream)
	}
	for _, line := range headers {
		key, value, _ := strings.Cut(line, ": ")
		req.Header.Set(key, value)
	}
	if p.token != "" {
		req.Header.Set("Authorization", p.token)
	}
	return p.send(req)
}

func (p *peer) send(req *http.Request) answer {
	p.t.Helper()
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text), err: err}
}

// want sends a request and fails the test when the status is another.
func (p *peer) want(status int, method, target string, body []byte, headers ...string) answer {
	p.t.Helper()
	a := p.do(method, target, body, headers...)
	if a.err != nil {
		p.t.Fatalf("%s %s: %v", method, target, a.err)
	}
	if a.status != status {
		p.t.Fatalf("%s %s = %d %s, want %d", method, target, a.status, a.body, status)
	}
	return a
}

// withDigest adds digest= to a session's URL.
func withDigest(location string, d digest.Digest) string {
	sep := "?"
	if strings.Contains(location, "?") {
		sep = "&"
	}
	return location + sep + "digest=" + d.String()
}

// upload sends a blob by POST and PUT.
func (p *peer) upload(repo string, content []byte) digest.Digest {
	p.t.Helper()
	d := digest.FromBytes(content)
	a := p.want(202, "POST", "/v2/"+repo+"/blobs/uploads/", nil)
	p.want(201, "PUT", withDigest(a.location(), d), content)
	return d
}

// image is an image manifest of a config and layers.
func image(config []byte, layers ...[]byte) []byte {
	entry := func(mediaType string, content []byte) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digest.FromBytes(content), "size": len(content)}
	}
	list := []map[string]any{}
	for _, layer := range layers {
		list = append(list, entry("application/vnd.oci.image.layer.v1.tar", layer))
	}
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": entry("application/vnd.oci.image.config.v1+json", config), "layers": list,
	})
	if err != nil {
		panic(err)
	}
	return body
}

const asManifest = "Content-Type: " + ociManifest

// code is the first error code of a body, in errors or bare.
func (a answer) code() string {
	var body struct {
		Code   string
		Errors []struct{ Code string }
	}
	if json.Unmarshal([]byte(a.body), &body) != nil {
		return ""
	}
	if len(body.Errors) > 0 {
		return body.Errors[0].Code
	}
	return body.Code
}

// noViolations fails the test when the registry saw what the specification forbids.
func noViolations(t testing.TB, r *Registry) {
	t.Helper()
	for _, v := range r.Violations() {
		t.Error("unexpected violation: ", v)
	}
}

// blobOf is content of n bytes that depends on seed.
func blobOf(seed string, n int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%s.", seed), n/len(seed)+1)[:n])
}

// defaultTransport is an HTTP transport that leaves no connection behind.
func defaultTransport(t testing.TB) *http.Transport {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}
