package netguard

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestEndpointMatches(t *testing.T) {
	for _, tt := range []struct {
		registry string
		own      []string
		other    []string
	}{
		{"registry.example",
			[]string{"https://registry.example/v2/", "https://registry.example:443/", "http://registry.example/", "https://Registry.EXAMPLE/", "http://registry.example:80/"},
			[]string{"https://registry.example:80/", "http://registry.example:443/", "https://registry.example:5000/", "https://a.registry.example/", "https://registry.example.evil.example/",
				"https://registry.example@evil.example/", "https://evil.example/registry.example", "ftp://registry.example/", "//registry.example/", "https:///"}},
		{"registry.example:5000",
			[]string{"http://registry.example:5000/", "https://registry.example:5000/"},
			[]string{"https://registry.example/", "https://registry.example:5001/"}},
		{"127.0.0.1:5000",
			[]string{"http://127.0.0.1:5000/"},
			[]string{"http://127.0.0.1:6379/", "http://localhost:5000/", "http://127.1:5000/"}},
		{"[::1]:5000",
			[]string{"http://[::1]:5000/", "http://[0:0:0:0:0:0:0:1]:5000/"},
			[]string{"http://[::1]/", "http://[::2]:5000/"}},
		{"[fd00::1]",
			[]string{"https://[fd00::1]/", "http://[fd00:0::1]:80/"},
			[]string{"https://[fd00::1]:5000/"}},
	} {
		e := endpointOf(tt.registry)
		for _, s := range tt.own {
			if !e.matches(parse(t, s)) {
				t.Errorf("%s is not %s's own", s, tt.registry)
			}
		}
		for _, s := range tt.other {
			if e.matches(parse(t, s)) {
				t.Errorf("%s is %s's own", s, tt.registry)
			}
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, tt := range []struct {
		url string
		// which registries may name it: Public, pRivate, Loopback
		want string
	}{
		{"https://storage.example/x", "PRL"},
		{"https://8.8.8.8/", "PRL"},
		{"https://[2606:4700::1111]/", "PRL"},
		{"https://127.0.0.1.storage.example/", "PRL"}, // a name: the dial decides
		{"https://7f.example/", "PRL"},
		{"https://x0xff/", "PRL"},
		{"http://10.0.0.1/", ".RL"},
		{"http://10.0.0.1./", ".RL"},
		{"http://[fd12::1]/", ".RL"},
		{"http://[::ffff:192.168.0.1]/", ".RL"},
		{"http://127.0.0.1:6379/", "..L"},
		{"http://[::1]/", "..L"},
		{"http://[::ffff:7f00:1]/", "..L"},
		{"http://localhost/", "..L"},
		{"http://LocalHost.:80/", "..L"},
		{"http://a.localhost/", "..L"},
		{"http://ip6-localhost/", "..L"},
		{"http://169.254.169.254/latest/meta-data/", "..."},
		{"http://[fd00:ec2::254]/", "..."},
		{"http://[::ffff:169.254.169.254]/", "..."},
		{"http://metadata.google.internal/", "..."},
		{"http://169.254.1.1/", "..."},
		{"http://[fe80::1%25eth0]/", "..."},
		{"http://0.0.0.0/", "..."},
		{"http://[::]/", "..."},
		{"http://2130706433/", "..."},
		{"http://0x7f000001/", "..."},
		{"http://0x7F.0.0.0x1/", "..."},
		{"http://0x/", "..."},
		{"http://127.1/", "..."},
		{"http://0177.0.0.1/", "..."},
		{"http://127.0.0.1.5/", "..."},
		{"http://①②⑦.⓪.⓪.①/", "..."},
		{"http://127。0。0。1/", "..."},
		{"file:///etc/passwd", "..."},
		{"ftp://storage.example/", "..."},
		{"unix://storage.example/", "..."},
		{"https://:443/", "..."},
	} {
		u := parse(t, tt.url)
		for i, class := range []Class{Public, Private, Loopback} {
			g := &Guard{class: class}
			err := g.checkName(u)
			if allowed := tt.want[i] != '.'; allowed != (err == nil) {
				t.Errorf("a %v registry names %s: %v, want allowed %t", class, tt.url, err, allowed)
			}
			if err != nil && !errors.Is(err, ErrForbidden) {
				t.Errorf("%s: %v does not match ErrForbidden", tt.url, err)
			}
		}
	}
}

// No spelling of a host that the first check lets a public registry name is
// taken for an inner address by the C library's address parser.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1/", "http://0x7f.1/", "http://[::1%25a]/", "https://a.example:1/", "http://017700000001/", "http://1.2.3.0x/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || new(Guard).checkName(u) != nil {
			return
		}
		host := strings.TrimRight(u.Hostname(), ".")
		addr, ok := inetAton(host)
		if !ok {
			addr, err = netip.ParseAddr(host)
			ok = err == nil
		}
		if class := ClassOf(addr); ok && class != Public {
			t.Errorf("a public registry may name %q: %v is %v", s, addr, class)
		}
	})
}

// inetAton reads an IPv4 address as inet_aton(3) does: one to four parts,
// each decimal, octal or hexadecimal; the last fills what is left.
func inetAton(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		if strings.ContainsAny(part, "oO_") || strings.HasPrefix(strings.ToLower(part), "0b") {
			return netip.Addr{}, false // Go's numbers, not C's
		}
		n, err := strconv.ParseUint(part, 0, 64)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits {
			return netip.Addr{}, false
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
