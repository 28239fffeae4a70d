package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, body string
		want       []Error
	}{
		{"empty", " \n", nil},
		{"specification", `{"errors":[{"code":"DENIED","message":"no","detail":null},{"code":"UNAUTHORIZED","message":"m","detail":[ {"Name":"a"} ]}]}`,
			[]Error{{Code: CodeDenied, Message: "no"}, {Code: CodeUnauthorized, Message: "m", Detail: `[{"Name":"a"}]`}}},
		{"bare object of zot", `{"code":"UNAUTHORIZED","message":"authentication required"}`,
			[]Error{{Code: CodeUnauthorized, Message: "authentication required"}}},
		{"Docker Hub token server", `{"details":"invalid repository name"}`, []Error{{Code: CodeUnknown, Message: "invalid repository name"}}},
		{"message", `{"message":"m"}`, []Error{{Code: CodeUnknown, Message: "m"}}},
		{"oauth2", `{"error":"invalid_grant","error_description":"expired"}`, []Error{{Code: CodeUnknown, Message: "expired"}}},
		{"text", "502 Bad Gateway\nnginx", []Error{{Code: CodeUnknown, Message: "502 Bad Gateway"}}},
		{"control characters", "a\x1b[31mb\u202ec\x00", []Error{{Code: CodeUnknown, Message: "a[31mbc"}}},
		{"control characters in JSON", `{"errors":[{"code":"X\u0007Y","message":"a\u001bb\nc"}]}`, []Error{{Code: "XY", Message: "abc"}}},
		{"numbers and null", `{"errors":[{"status":404,"code":7,"message":null},null,"text",3]}`,
			[]Error{{Code: CodeUnknown}, {Code: CodeUnknown}, {Code: CodeUnknown, Message: "text"}, {Code: CodeUnknown, Message: "3"}}},
		{"no list", `{"errors":"x","message":"m"}`, []Error{{Code: CodeUnknown, Message: "m"}}},
		{"empty list", `{"errors":[]}`, []Error{{Code: CodeUnknown}}},
		{"problem details", `{"title":"Not Found","status":404}`, []Error{{Code: CodeUnknown, Message: "Not Found"}}},
		{"string detail", `{"errors":[{"code":"A","detail":"d"}]}`, []Error{{Code: "A", Detail: `"d"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseErrors([]byte(tt.body)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestParseErrorsBounds(t *testing.T) {
	many := strings.Repeat(`{"code":"A"},`, 100)
	if n := len(ParseErrors([]byte(`{"errors":[` + strings.TrimSuffix(many, ",") + `]}`))); n != maxErrors {
		t.Errorf("%d errors, want %d", n, maxErrors)
	}
	long := strings.Repeat("é", 10000)
	e := ParseErrors(fmt.Appendf(nil, `{"code":%q,"message":%q,"detail":%q}`, long, long, long))[0]
	if len(e.Code) != maxCode || len(e.Message) != maxMessage || len(e.Detail) > maxDetail || len(e.Detail) < maxDetail-1 {
		t.Errorf("lengths %d, %d, %d", len(e.Code), len(e.Message), len(e.Detail))
	}
	odd := "x" + long
	e = ParseErrors(fmt.Appendf(nil, `{"code":"A","message":%q}`, odd))[0]
	if len(e.Message) != maxMessage-1 || !utf8.ValidString(e.Message) {
		t.Errorf("message of %d bytes, cut inside a character", len(e.Message))
	}
	if got := ParseErrors([]byte(strings.Repeat("x", MaxErrorBody+1)))[0]; len(got.Message) != maxMessage {
		t.Errorf("message of %d bytes", len(got.Message))
	}
}

func TestFormatErrors(t *testing.T) {
	errs := []Error{
		{Code: CodeManifestBlobUnknown, Message: `a "b"`, Detail: `{"digest":"x"}`},
		{Code: CodeUnknown, Message: "m"},
	}
	want := `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"a \"b\"","detail":{"digest":"x"}},{"code":"UNKNOWN","message":"m"}]}`
	body := FormatErrors(errs...)
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if got := ParseErrors(body); !reflect.DeepEqual(got, errs) {
		t.Errorf("parsed back %+v", got)
	}
	if got := string(FormatErrors(Error{Code: "A", Detail: "not JSON"})); got != `{"errors":[{"code":"A","message":"","detail":"not JSON"}]}` {
		t.Errorf("got %s", got)
	}
	if got := string(FormatErrors()); got != `{"errors":[]}` {
		t.Errorf("got %s", got)
	}
}

func TestMissingBlobs(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	tests := []struct {
		name, body string
		want       []digest.Digest
	}{
		{"distribution", fmt.Sprintf(`{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":%q},{"code":"MANIFEST_BLOB_UNKNOWN","detail":%q}]}`, b, a), []digest.Digest{b, a}},
		{"object", fmt.Sprintf(`{"errors":[{"code":"BLOB_UNKNOWN","detail":{"digest":%q}},{"code":"BLOB_UNKNOWN","detail":{"Digest":%q}}]}`, a, a), []digest.Digest{a}},
		{"olareg", fmt.Sprintf(`{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":"layer not found: %s"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":"config not found: %s"}]}`, a, b), []digest.Digest{a, b}},
		{"ECR", fmt.Sprintf(`{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"Layers with digests '[%s, %s]' do not exist"}]}`, a, b), []digest.Digest{a, b}},
		{"child manifest", fmt.Sprintf(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest %s unknown"}]}`, a), []digest.Digest{a}},
		{"another matter", fmt.Sprintf(`{"errors":[{"code":"DIGEST_INVALID","detail":%q}]}`, a), nil},
		{"zot", `{"errors":[{"code":"MANIFEST_INVALID","detail":{"reference":"latest"}}]}`, nil},
		{"no digest", `{"errors":[{"code":"BLOB_UNKNOWN","detail":"sha256:abc x:y :"}]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := MissingBlobs(ParseErrors([]byte(tt.body))); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func FuzzParseErrors(f *testing.F) {
	for _, s := range []string{"", "x\ny", `{"errors":[{"code":"A","message":"m","detail":{"digest":"` + d256 + `"}}]}`, `{"code":"A"}`, `{"errors":7}`, `[`, "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		errs := ParseErrors(body)
		if len(errs) > maxErrors || (errs == nil) && len(strings.TrimSpace(string(body))) > 0 && len(body) < MaxErrorBody {
			t.Fatalf("%q: %d errors", body, len(errs))
		}
		for _, e := range errs {
			if e.Code == "" || len(e.Code) > maxCode || len(e.Message) > maxMessage || len(e.Detail) > maxDetail ||
				strings.ContainsFunc(e.Message+string(e.Code), isControl) {
				t.Fatalf("%q gave %+v", body, e)
			}
		}
		for _, d := range MissingBlobs(errs) {
			if d.Validate() != nil {
				t.Fatalf("%q: digest %q", body, d)
			}
		}
		if out := FormatErrors(errs...); !json.Valid(out) {
			t.Fatalf("%q: %s", body, out)
		}
	})
}
