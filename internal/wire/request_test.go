package wire

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const (
	d256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	d512 = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce" +
		"47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
	e256 = "sha256%3Ae3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRoundTrip(t *testing.T) {
	base := mustURL(t, "http://127.0.0.1:5000")
	tests := []struct {
		want string // method and URL without the base
		r    Request
	}{
		{"GET /v2/", Request{Kind: Ping}},
		{"GET /v2/a/b/blobs/" + d256, Request{Kind: BlobGet, Repository: "a/b", Digest: d256}},
		{"HEAD /v2/a/b/blobs/" + d512, Request{Kind: BlobHead, Repository: "a/b", Digest: d512}},
		{"DELETE /v2/a/blobs/" + d256, Request{Kind: BlobDelete, Repository: "a", Digest: d256}},
		{"GET /v2/a/manifests/v1.0_x-y", Request{Kind: ManifestGet, Repository: "a", Reference: "v1.0_x-y"}},
		{"HEAD /v2/a/manifests/" + d256, Request{Kind: ManifestHead, Repository: "a", Reference: d256}},
		{"PUT /v2/a/manifests/latest", Request{Kind: ManifestPut, Repository: "a", Reference: "latest"}},
		{"PUT /v2/a/manifests/" + d256 + "?tag=b&tag=a",
			Request{Kind: ManifestPut, Repository: "a", Reference: d256, Tags: []string{"b", "a"}}},
		{"DELETE /v2/a/manifests/latest", Request{Kind: ManifestDelete, Repository: "a", Reference: "latest"}},
		{"POST /v2/a/blobs/uploads/", Request{Kind: UploadStart, Repository: "a"}},
		{"POST /v2/a/blobs/uploads/?digest-algorithm=sha512",
			Request{Kind: UploadStart, Repository: "a", Algorithm: "sha512"}},
		{"POST /v2/a/blobs/uploads/?from=b%2Fc", Request{Kind: UploadStart, Repository: "a", From: "b/c"}},
		{"POST /v2/a/blobs/uploads/?digest=" + e256, Request{Kind: UploadSingle, Repository: "a", Digest: d256}},
		{"POST /v2/a/blobs/uploads/?mount=" + e256, Request{Kind: Mount, Repository: "a", Digest: d256}},
		{"POST /v2/a/blobs/uploads/?from=b%2Fc&mount=" + e256,
			Request{Kind: Mount, Repository: "a", Digest: d256, From: "b/c"}},
		{"PATCH /v2/a/blobs/uploads/id-1", Request{Kind: UploadChunk, Repository: "a", Session: "id-1"}},
		{"PUT /v2/a/blobs/uploads/id?digest=" + e256,
			Request{Kind: UploadFinish, Repository: "a", Session: "id", Digest: d256}},
		{"GET /v2/a/blobs/uploads/id", Request{Kind: UploadStatus, Repository: "a", Session: "id"}},
		{"DELETE /v2/a/blobs/uploads/a%25b%20%3F", Request{Kind: UploadCancel, Repository: "a", Session: "a%b ?"}},
		{"GET /v2/a/tags/list", Request{Kind: TagList, Repository: "a"}},
		{"GET /v2/a/tags/list?last=x%26y&n=10", Request{Kind: TagList, Repository: "a", N: 10, Last: "x&y"}},
		{"GET /v2/a/tags/list?n=0", Request{Kind: TagList, Repository: "a", N: -1}},
		{"GET /v2/a/referrers/" + d256, Request{Kind: Referrers, Repository: "a", Digest: d256}},
		{"GET /v2/a/referrers/" + d256 + "?artifactType=application%2Fspdx%2Bjson",
			Request{Kind: Referrers, Repository: "a", Digest: d256, ArtifactType: "application/spdx+json"}},

		// The words of the API in repository names.
		{"GET /v2/tags/list/tags/list", Request{Kind: TagList, Repository: "tags/list"}},
		{"GET /v2/blobs/uploads/manifests/list", Request{Kind: ManifestGet, Repository: "blobs/uploads", Reference: "list"}},
		{"POST /v2/blobs/uploads/blobs/uploads/", Request{Kind: UploadStart, Repository: "blobs/uploads"}},
		{"GET /v2/manifests/blobs/uploads/uploads", Request{Kind: UploadStatus, Repository: "manifests", Session: "uploads"}},
		{"GET /v2/v2/blobs/" + d256, Request{Kind: BlobGet, Repository: "v2", Digest: d256}},
	}
	seen := map[Kind]bool{}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			seen[tt.r.Kind] = true
			u := tt.r.URL(base)
			if got := tt.r.Method() + " " + strings.TrimPrefix(u.String(), base.String()); got != tt.want {
				t.Errorf("built %q, want %q", got, tt.want)
			}
			method, target, _ := strings.Cut(tt.want, " ")
			got, err := Parse(method, mustURL(t, base.String()+target))
			if err != nil || !reflect.DeepEqual(got, tt.r) {
				t.Errorf("parsed %+v, %v; want %+v", got, err, tt.r)
			}
		})
	}
	names := map[string]bool{}
	for k := Ping; k <= Referrers; k++ {
		names[k.String()] = true
		if !seen[k] || k.method() == "" {
			t.Errorf("kind %v has no row or no method", k)
		}
	}
	if len(names) != int(Referrers) || names["unknown"] || Kind(0).String() != "unknown" || Kind(0).method() != "" {
		t.Errorf("names of kinds are not distinct: %v", names)
	}
}

func TestParseLenient(t *testing.T) {
	tests := []struct {
		method, url string
		want        Request
	}{
		{"GET", "/v2", Request{Kind: Ping}},
		{"POST", "/v2/a/blobs/uploads", Request{Kind: UploadStart, Repository: "a"}},
		{"PATCH", "/v2/a/blobs/upload/x", Request{Kind: UploadChunk, Repository: "a", Session: "x"}},
		{"POST", "/v2/a/blobs/uploads/?mount=&from=", Request{Kind: UploadStart, Repository: "a"}},
		{"POST", "/v2/a/blobs/uploads/?mount=" + d256 + "&from=", Request{Kind: Mount, Repository: "a", Digest: d256}},
		{"POST", "/v2/a/blobs/uploads/?digest=" + d256 + "&mount=" + d256, Request{Kind: Mount, Repository: "a", Digest: d256}},
		{"GET", "/v2/a/tags/list?grease=1&n=&last=", Request{Kind: TagList, Repository: "a"}},
		{"GET", "/v2/a/blobs/" + d256 + "?digest=junk&tag=!", Request{Kind: BlobGet, Repository: "a", Digest: d256}},
		{"GET", "/v2/a/manifests/x?tag=!", Request{Kind: ManifestGet, Repository: "a", Reference: "x"}},
	}
	for _, tt := range tests {
		if got, err := Parse(tt.method, mustURL(t, tt.url)); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: %+v, %v; want %+v", tt.method, tt.url, got, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		method, url string
		code        Code
		status      int
	}{
		{"GET", "/", CodeUnsupported, 404},
		{"GET", "/v1/", CodeUnsupported, 404},
		{"GET", "/v2x", CodeUnsupported, 404},
		{"GET", "/v2xa/tags/list", CodeUnsupported, 404},
		{"GET", "/v2/a", CodeUnsupported, 404},
		{"GET", "/v2/a/tags", CodeUnsupported, 404},
		{"HEAD", "/v2/", CodeUnsupported, 405},
		{"POST", "/v2/a/blobs/" + d256, CodeUnsupported, 405},
		{"PUT", "/v2/a/blobs/uploads/", CodeUnsupported, 405},
		{"GET", "/v2/a/blobs/uploads/", CodeUnsupported, 405},
		{"POST", "/v2/a/blobs/uploads/id", CodeUnsupported, 405},
		{"POST", "/v2/a/tags/list", CodeUnsupported, 405},
		{"PATCH", "/v2/a/manifests/x", CodeUnsupported, 405},
		{"GET", "/v2/tags/list", CodeNameInvalid, 400},
		{"POST", "/v2/blobs/uploads/", CodeNameInvalid, 400},
		{"GET", "/v2/A/tags/list", CodeNameInvalid, 400},
		{"GET", "/v2/a//b/tags/list", CodeNameInvalid, 400},
		{"GET", "/v2/../tags/list", CodeNameInvalid, 400},
		{"POST", "/v2/a/blobs/uploads/?mount=" + d256 + "&from=A", CodeNameInvalid, 400},
		{"POST", "/v2/a/blobs/uploads/?from=../x", CodeNameInvalid, 400},
		{"GET", "/v2/a/blobs/sha256:abc", CodeDigestInvalid, 400},
		{"GET", "/v2/a/blobs/x", CodeDigestInvalid, 400},
		{"GET", "/v2/a/referrers/x", CodeDigestInvalid, 400},
		{"POST", "/v2/a/blobs/uploads/?mount=x", CodeDigestInvalid, 400},
		{"POST", "/v2/a/blobs/uploads/?digest=", CodeDigestInvalid, 400},
		{"POST", "/v2/a/blobs/uploads/?digest-algorithm=SHA", CodeDigestInvalid, 400},
		{"PUT", "/v2/a/blobs/uploads/id", CodeDigestInvalid, 400},
		{"GET", "/v2/a/manifests/sha256:abc", CodeDigestInvalid, 400},
		{"GET", "/v2/a/manifests/.x", CodeTagInvalid, 400},
		{"GET", "/v2/a/manifests/", CodeTagInvalid, 400},
		{"PUT", "/v2/a/manifests/" + d256 + "?tag=", CodeTagInvalid, 400},
		{"GET", "/v2/a/blobs/uploads/..", CodeBlobUploadUnknown, 404},
		{"GET", "/v2/a/blobs/uploads/%0a", CodeBlobUploadUnknown, 404},
		{"GET", "/v2/a/tags/list?n=-1", CodePaginationNumberInvalid, 400},
		{"GET", "/v2/a/tags/list?n=x", CodePaginationNumberInvalid, 400},
	}
	for _, tt := range tests {
		r, err := Parse(tt.method, mustURL(t, tt.url))
		var pe *ParseError
		if !errors.As(err, &pe) || pe.Code != tt.code || pe.Status != tt.status || pe.Method != tt.method {
			t.Errorf("%s %s: %+v, %v; want %s %d", tt.method, tt.url, r, err, tt.code, tt.status)
		}
	}
	err := &ParseError{Method: "GET", Path: "/v2/\n", Code: CodeNameInvalid, Status: 400}
	if got, want := err.Error(), `wire: "GET" "/v2/\n": NAME_INVALID (400)`; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestGrammar(t *testing.T) {
	long := strings.Repeat("a", 255)
	for name, want := range map[string]bool{
		"a": true, "a/b/c": true, "a.b": true, "a_b": true, "a__b": true, "a-b": true, "a---b": true, "0": true, long: true,
		"": false, "A": false, "a..b": false, "a___b": false, "a.-b": false, "-a": false, "a-": false, "a_": false,
		"/a": false, "a/": false, "a//b": false, "a:b": false, "a b": false, "é": false, long + "a": false,
	} {
		if validName(name) != want {
			t.Errorf("name %q: %v, want %v", name, !want, want)
		}
	}
	for tag, want := range map[string]bool{
		"latest": true, "_x": true, "A.b-C": true, strings.Repeat("t", 128): true,
		"": false, ".a": false, "-a": false, "a:b": false, "a/b": false, strings.Repeat("t", 129): false,
	} {
		if validTag(tag) != want {
			t.Errorf("tag %q: %v, want %v", tag, !want, want)
		}
	}
	for algorithm, want := range map[string]bool{
		"sha512": true, "blake3": true, "a+b.c_d-e": true, "": false, "sha512+": false, "+a": false, "a++b": false, "SHA": false,
	} {
		if validAlgorithm(algorithm) != want {
			t.Errorf("algorithm %q: %v, want %v", algorithm, !want, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"} {
		for _, u := range []string{
			"/v2/", "/v2/a/blobs/" + d256, "/v2/a/manifests/x?tag=a&tag=b", "/v2/a/blobs/uploads/?mount=" + d256 + "&from=b",
			"/v2/a/blobs/uploads/%25?digest=" + d256, "/v2/a/tags/list?n=0&last=%ff", "/v2/a/referrers/" + d256 + "?artifactType=a",
		} {
			f.Add(method, u)
		}
	}
	base := &url.URL{Scheme: "https", Host: "registry.example"}
	f.Fuzz(func(t *testing.T, method, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		r, err := Parse(method, u)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Code == "" || pe.Status < 400 || pe.Status > 405 {
				t.Fatalf("odd error %v", err)
			}
			return
		}
		if r.Method() != method || (r.Kind != Ping) != (r.Repository != "") {
			t.Fatalf("%s %s gave %+v", method, text, r)
		}
		again, err := url.Parse(r.URL(base).String())
		if err != nil || again.Host != base.Host {
			t.Fatalf("%+v: URL %v, %v", r, again, err)
		}
		r2, err := Parse(r.Method(), again)
		if err != nil || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%s %s: %+v, then %+v, %v", method, text, r, r2, err)
		}
		if _, err := http.NewRequest(method, again.String(), nil); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDigestConstantsAreDigests(t *testing.T) {
	if digest.FromString("") != d256 || digest.SHA512.FromString("") != d512 {
		t.Fatal("test digests are wrong")
	}
}
