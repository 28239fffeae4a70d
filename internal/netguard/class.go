package netguard

import (
	"fmt"
	"net/netip"
)

// Class says in which part of the network an address lies. The zero value is
// Unknown.
type Class int

// The classes, by what an address gives access to.
const (
	// Unknown: no address was seen, or what was seen is no IP address.
	Unknown Class = iota
	// Public: routed in the whole Internet.
	Public
	// Private: routed in one network only. RFC 1918, unique local (RFC 4193)
	// and former site-local addresses, and shared address space (RFC 6598);
	// also 198.18.0.0/15, which resolvers of some proxies hand out for every
	// name, and the local-use translation prefix (RFC 8215).
	Private
	// Loopback: the client's own host.
	Loopback
	// LinkLocal: the client's own link (RFC 3927, RFC 4291 section 2.5.6).
	LinkLocal
	// Metadata: a cloud's service that hands credentials to whoever asks from
	// within an instance.
	Metadata
	// Forbidden: no host that answers requests: unspecified, multicast,
	// broadcast, reserved, documentation and unallocated addresses.
	Forbidden
)

// String gives the class as an English adjective.
func (c Class) String() string {
	switch c {
	case Unknown:
		return "unknown"
	case Public:
		return "public"
	case Private:
		return "private"
	case Loopback:
		return "loopback"
	case LinkLocal:
		return "link-local"
	case Metadata:
		return "cloud metadata"
	case Forbidden:
		return "unusable"
	}
	return fmt.Sprintf("Class(%d)", int(c))
}

// ClassOf gives the class of addr; its zone, if any, does not matter. An IPv6
// address that stands for an IPv4 address (mapped, NAT64 or 6to4) has the class
// of that IPv4 address. The zero Addr is Unknown.
func ClassOf(addr netip.Addr) Class {
	addr = addr.WithZone("").Unmap()
	switch {
	case !addr.IsValid():
		return Unknown
	case isMetadata(addr):
		return Metadata
	case addr.Is4():
		return classOf4(addr)
	}
	return classOf6(addr)
}

// Allowed reports whether a registry whose address has the first class may
// lead the client to an address of the other class.
//
// Every registry may name public addresses. A registry on a private network may
// also name private ones, and a registry on loopback also private and loopback
// ones. A registry at an unknown address is treated like a public one. Nobody
// may name a link-local, metadata, unusable or unknown address.
func Allowed(registry, other Class) bool {
	switch other {
	case Public:
		return true
	case Private:
		return registry == Private || registry == Loopback
	case Loopback:
		return registry == Loopback
	}
	return false
}

// isMetadata knows the addresses at which clouds serve instance metadata or
// credentials: AWS, Azure, Google and most others at 169.254.169.254; AWS also
// for containers (.170.2, .170.23) and over IPv6; Alibaba, Azure's wire server,
// Oracle Classic, Tencent, Scaleway, and Google over IPv6.
func isMetadata(addr netip.Addr) bool {
	switch addr.String() {
	case "169.254.169.254", "169.254.170.2", "169.254.170.23",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
		"100.100.100.200", "168.63.129.16", "192.0.0.192",
		"169.254.0.23", "169.254.42.42", "fd00:42::42":
		return true
	}
	return false
}

// classOf4 follows the IANA IPv4 special-purpose address registry.
func classOf4(addr netip.Addr) Class {
	switch {
	case addr.IsLoopback():
		return Loopback
	case addr.IsLinkLocalUnicast():
		return LinkLocal
	case addr.IsPrivate(), within(addr, "100.64.0.0/10", "198.18.0.0/15"):
		return Private
	case within(addr,
		"0.0.0.0/8",                                         // this network; 0.0.0.0 reaches loopback on some systems
		"192.0.0.0/24",                                      // protocol assignments
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", // documentation
		"192.88.99.0/24", // former 6to4 relays
		"224.0.0.0/4",    // multicast
		"240.0.0.0/4"):   // reserved, and broadcast
		return Forbidden
	}
	return Public
}

// classOf6 follows the IANA IPv6 special-purpose address registry: only
// 2000::/3 is allocated for global unicast.
func classOf6(addr netip.Addr) Class {
	b := addr.As16()
	switch {
	case addr.IsLoopback():
		return Loopback
	case addr.IsLinkLocalUnicast():
		return LinkLocal
	case addr.IsPrivate(), within(addr, "fec0::/10"):
		return Private
	case within(addr, "64:ff9b::/96"): // NAT64, RFC 6052
		return ClassOf(netip.AddrFrom4([4]byte(b[12:16])))
	case within(addr, "2002::/16"): // 6to4, RFC 3056
		return ClassOf(netip.AddrFrom4([4]byte(b[2:6])))
	case within(addr, "64:ff9b:1::/48"):
		if c := ClassOf(netip.AddrFrom4([4]byte(b[12:16]))); c != Public {
			return c
		}
		return Private
	case !within(addr, "2000::/3"),
		within(addr,
			"2001::/32",                   // Teredo
			"2001:2::/48", "2001:10::/28", // benchmarks, former ORCHID
			"2001:db8::/32", "3fff::/20"): // documentation
		return Forbidden
	}
	return Public
}

// within reports whether addr lies in one of the prefixes.
func within(addr netip.Addr, prefixes ...string) bool {
	for _, p := range prefixes {
		if netip.MustParsePrefix(p).Contains(addr) {
			return true
		}
	}
	return false
}
