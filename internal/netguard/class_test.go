package netguard

import (
	"net/netip"
	"testing"
)

func TestClassOf(t *testing.T) {
	for class, addrs := range map[Class][]string{
		Public: {
			"8.8.8.8", "1.1.1.1", "172.32.0.1", "172.15.255.255", "100.63.255.255", "100.128.0.1", "192.169.0.1", "11.0.0.0", "223.255.255.255",
			"2001:4860:4860::8888", "2606:4700::1111", "::ffff:8.8.8.8",
			"64:ff9b::8.8.8.8", "2002:808:808::1", // NAT64 and 6to4 of 8.8.8.8
		},
		Private: {
			"10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "198.18.0.7", "198.19.255.255",
			"fc00::1", "fd12:3456::1", "fec0::1", "::ffff:10.1.2.3", "64:ff9b::10.0.0.1", "2002:c0a8:101::1", "64:ff9b:1::8.8.8.8",
		},
		Loopback: {
			"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "64:ff9b:1::127.0.0.1",
		},
		LinkLocal: {"169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "::ffff:169.254.1.1"},
		Metadata: {
			"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
			"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:ec2::254%eth0",
			"::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::",
		},
		Forbidden: {
			"0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.9",
			"192.88.99.1", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1", "2001:0:7f00:1::", "2001:10::1", "100::1", "4000::1", "::127.0.0.1", "::ffff:0:127.0.0.1",
		},
	} {
		for _, s := range addrs {
			if got := ClassOf(netip.MustParseAddr(s)); got != class {
				t.Errorf("ClassOf(%s) = %v, want %v", s, got, class)
			}
		}
	}
	if got := ClassOf(netip.Addr{}); got != Unknown {
		t.Errorf("ClassOf(zero) = %v, want unknown", got)
	}
}

func TestAllowed(t *testing.T) {
	const all = "UPRLKMF" // Unknown, Public, Private, Loopback, link-local, Metadata, Forbidden
	for registry, want := range map[Class]string{
		Unknown:   ".P.....",
		Public:    ".P.....",
		Private:   ".PR....",
		Loopback:  ".PRL...",
		LinkLocal: ".P.....",
		Metadata:  ".P.....",
		Forbidden: ".P.....",
	} {
		got := []byte(all)
		for other := Unknown; other <= Forbidden; other++ {
			if !Allowed(registry, other) {
				got[other] = '.'
			}
		}
		if string(got) != want {
			t.Errorf("a %v registry may name %s, want %s", registry, got, want)
		}
	}
}

func TestClassString(t *testing.T) {
	seen := map[string]bool{}
	for c := Unknown; c <= Forbidden+1; c++ {
		if s := c.String(); s == "" || seen[s] {
			t.Errorf("Class(%d) is %q, which is empty or not its own", int(c), s)
		} else {
			seen[s] = true
		}
	}
}

// However an address is written, what a public registry may name is a global
// unicast address that the standard library too holds for nothing else.
func FuzzClassOf(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "8.8.8.8", "::1", "64:ff9b::a00:1", "2002:7f00:1::", "fe80::1", "2606:4700::1111"} {
		f.Add(netip.MustParseAddr(s).AsSlice())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		class := ClassOf(addr)
		if class <= Unknown || class > Forbidden {
			t.Fatalf("ClassOf(%v) = %v", addr, class)
		}
		if addr.Is4() {
			for _, prefix := range []string{"::ffff:", "64:ff9b::"} {
				if c := ClassOf(netip.MustParseAddr(prefix + addr.String())); c != class {
					t.Errorf("%s%v is %v, but %v is %v", prefix, addr, c, addr, class)
				}
			}
		}
		a := addr.Unmap()
		inner := !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()
		if inner && Allowed(Public, class) {
			t.Errorf("a public registry may name %v, of class %v", addr, class)
		}
	})
}
