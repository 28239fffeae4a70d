package wire

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestResolveLocation(t *testing.T) {
	request := "https://r.example:5000/v2/a/blobs/uploads/?mount=x"
	tests := []struct{ location, want string }{
		{"/v2/a/blobs/uploads/id", "https://r.example:5000/v2/a/blobs/uploads/id"},
		{"id?_state=a%2Bb==&x=%zz", "https://r.example:5000/v2/a/blobs/uploads/id?_state=a%2Bb==&x=%zz"},
		{"../upload/id", "https://r.example:5000/v2/a/blobs/upload/id"},
		{"http://other/x?b=2&a=1", "http://other/x?b=2&a=1"},
		{"//other/x", "https://other/x"},
		{"/x?b=1&mount=sha256:x&from=a&c=%20", "https://r.example:5000/x?b=1&c=%20"},
		{"/x?mount=1&fr%6fm=a", "https://r.example:5000/x"},
		{"/x?fromage=1&amount=2", "https://r.example:5000/x?fromage=1&amount=2"},
		{"/a%2Fb?x#frag", "https://r.example:5000/a%2Fb?x"},
	}
	for _, tt := range tests {
		u, err := ResolveLocation(mustURL(t, request), tt.location)
		if err != nil || u.String() != tt.want {
			t.Errorf("%q: %v, %v; want %q", tt.location, u, err, tt.want)
		}
	}
	for _, bad := range []string{
		"", "mailto:x", "http:x", "ftp://r/x", "file:///etc/passwd", "javascript:alert(1)", "http:///x", "http://:80/x",
		"https://u:secret@r.example/x", "https://u@r.example/x", "\x01", "http://[::1", "/x?a b", "/x?\u2028",
	} {
		u, err := ResolveLocation(mustURL(t, request), bad)
		var le *LocationError
		if !errors.As(err, &le) || u != nil {
			t.Errorf("%q: %v, %v; want a LocationError", bad, u, err)
		} else if strings.Contains(err.Error(), "secret") || le.Reason == "" {
			t.Errorf("%q: text %q", bad, err)
		}
	}
	u, err := ResolveLocation(mustURL(t, "https://u:p@r.example/x"), "/y")
	if err != nil || u.String() != "https://r.example/y" {
		t.Errorf("user information of the request is carried on: %v, %v", u, err)
	}
}

func TestWithDigest(t *testing.T) {
	for session, want := range map[string]string{
		"http://r/x":                      "http://r/x?digest=" + e256,
		"http://r/x?_state=a%2Bb==":       "http://r/x?_state=a%2Bb==&digest=" + e256,
		"http://r/x?digest=old&b=%20;c&a": "http://r/x?b=%20;c&a&digest=" + e256,
		"http://r/x?":                     "http://r/x?digest=" + e256,
	} {
		u := mustURL(t, session)
		if got := WithDigest(u, d256).String(); got != want {
			t.Errorf("%q: %q, want %q", session, got, want)
		}
		if u.String() != session {
			t.Errorf("%q was changed to %q", session, u)
		}
	}
}

func TestParseRange(t *testing.T) {
	for header, want := range map[string]int64{
		"": 0, "0-0": 0, "0--1": 0, "bytes=0--1": 0, "bytes=0-0": 0, "0-00": 0, "0-1": 2, "0-599999": 600000, "bytes=0-9": 10,
		" 0-4 ": 5, "0-9223372036854775806": 9223372036854775807,
	} {
		if got, ok := ParseRange(header); !ok || got != want {
			t.Errorf("%q: %d, %v; want %d", header, got, ok, want)
		}
	}
	for _, bad := range []string{
		"x", "0", "0-", "-", "1-2", "0--2", "0-+5", "0-5/10", "bytes 0-5", "0-9223372036854775807", "0-99999999999999999999", "0-5,7-8", "0-٣",
	} {
		if got, ok := ParseRange(bad); ok || got != 0 {
			t.Errorf("%q: %d, %v; want not ok", bad, got, ok)
		}
	}
	if got := FormatContentRange(0, 4999); got != "0-4999" {
		t.Errorf("Content-Range %q", got)
	}
}

func TestParseChallenges(t *testing.T) {
	bearer := func(params ...string) Challenge {
		c := Challenge{Scheme: "bearer", Params: map[string]string{}}
		for i := 0; i < len(params); i += 2 {
			c.Params[params[i]] = params[i+1]
		}
		c.Realm, c.Service, c.Scope, c.Error = c.Params["realm"], c.Params["service"], c.Params["scope"], c.Params["error"]
		return c
	}
	basic := func(realm string) Challenge {
		return Challenge{Scheme: "basic", Realm: realm, Params: map[string]string{"realm": realm}}
	}
	tests := []struct {
		name    string
		headers []string
		want    []Challenge
	}{
		{"none", nil, nil},
		{"distribution", []string{`Bearer realm="http://127.0.0.1:5510/token",service="dist3",scope="repository:b/dst:pull,push repository:a/src:pull",error="insufficient_scope"`},
			[]Challenge{bearer("realm", "http://127.0.0.1:5510/token", "service", "dist3", "scope", "repository:b/dst:pull,push repository:a/src:pull", "error", "insufficient_scope")}},
		{"two headers", []string{`Basic realm="harbor"`, `Bearer realm="r"`}, []Challenge{basic("harbor"), bearer("realm", "r")}},
		{"one header", []string{`Basic realm="a, b" , BEARER Realm="r" , service=s`}, []Challenge{basic("a, b"), bearer("realm", "r", "service", "s")}},
		{"spaces and empty elements", []string{` ,, Bearer  realm = "r" ,, scope="s"`}, []Challenge{bearer("realm", "r", "scope", "s")}},
		{"escapes", []string{`Bearer realm="a\"b\\c"`}, []Challenge{bearer("realm", `a"b\c`)}},
		{"unquoted URL", []string{`Bearer realm=https://r/token,service=s`}, []Challenge{bearer("realm", "https://r/token", "service", "s")}},
		{"first of a name", []string{`Bearer realm="r",realm="evil"`}, []Challenge{bearer("realm", "r")}},
		{"token68", []string{`Negotiate YWJj, NTLM YQ==, Basic realm="x"`},
			[]Challenge{{Scheme: "negotiate", Params: map[string]string{}}, {Scheme: "ntlm", Params: map[string]string{}}, basic("x")}},
		{"bare schemes", []string{`Negotiate, Basic`}, []Challenge{{Scheme: "negotiate", Params: map[string]string{}}, {Scheme: "basic", Params: map[string]string{}}}},
		{"parameters without a scheme", []string{`realm="x", service="y", Basic realm="z"`}, []Challenge{basic("z")}},
		{"open quote", []string{`Bearer realm="r`}, []Challenge{bearer("realm", "r")}},
		{"empty value", []string{`Bearer realm="r",error=,scope="s"`}, []Challenge{bearer("realm", "r", "scope", "s")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ParseChallenges(http.Header{"Www-Authenticate": tt.headers})
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
	if n := len(ParseChallenges(http.Header{"Www-Authenticate": {strings.Repeat("Basic, ", 1000)}})); n != maxChallenges {
		t.Errorf("%d challenges, want %d", n, maxChallenges)
	}
}

func FuzzResolveLocation(f *testing.F) {
	for _, s := range []string{"/x?mount=1&a=%2b", "http://h/x?_state=a==", "//h", "http://u:p@h/", "x:y", "?", "#", "\x7f", "/x?&&from"} {
		f.Add(s)
	}
	request := &url.URL{Scheme: "https", Host: "r.example", Path: "/v2/a/blobs/uploads/"}
	f.Fuzz(func(t *testing.T, location string) {
		u, err := ResolveLocation(request, location)
		if err != nil {
			var le *LocationError
			if !errors.As(err, &le) {
				t.Fatalf("%T", err)
			}
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
			t.Fatalf("%q gave %+v", location, u)
		}
		if q := u.Query(); q.Has("mount") || q.Has("from") {
			t.Fatalf("%q kept mount or from: %q", location, u.RawQuery)
		}
		closing := WithDigest(u, d256)
		if got := closing.Query()["digest"]; len(got) != 1 || got[0] != d256 || !strings.HasSuffix(closing.RawQuery, "digest="+e256) {
			t.Fatalf("%q: digest %q in %q", location, got, closing.RawQuery)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"", "0-0", "0--1", "bytes=0-9", "0-9223372036854775807", "1-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		n, ok := ParseRange(header)
		if n < 0 || !ok && n != 0 {
			t.Fatalf("%q: %d, %v", header, n, ok)
		}
		if n > 1 {
			if again, ok := ParseRange(FormatContentRange(0, n-1)); !ok || again != n {
				t.Fatalf("%q: %d, then %d, %v", header, n, again, ok)
			}
		}
	})
}

func FuzzParseChallenges(f *testing.F) {
	for _, s := range []string{`Bearer realm="http://r/token",service="s",scope="a b"`, `Basic realm="a\"b", Negotiate YQ==`, `=,"`, "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		all := ParseChallenges(http.Header{"Www-Authenticate": {header}})
		if len(all) > maxChallenges {
			t.Fatalf("%d challenges", len(all))
		}
		for _, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) || c.Params == nil || c.Realm != c.Params["realm"] {
				t.Fatalf("%q gave %+v", header, c)
			}
		}
	})
}
