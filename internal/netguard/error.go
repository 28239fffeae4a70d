package netguard

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrForbidden matches every refusal of a [Guard] with errors.Is. The request
// was not sent.
var ErrForbidden = errors.New("netguard: the registry may not lead here")

// An Error says which host was refused and why. It matches [ErrForbidden]. A
// refusal of a transport's dial may be wrapped in a *net.OpError; use errors.As.
type Error struct {
	Host   string     // the host of the request's URL, as the registry named it, without port
	Addr   netip.Addr // the address that was refused; the zero Addr if none was looked up
	Reason string     // a phrase for people
}

// Error gives host, address and reason.
func (e *Error) Error() string {
	if e.Addr.IsValid() && e.Addr.String() != e.Host {
		return fmt.Sprintf("netguard: %q (%v) refused: %s", e.Host, e.Addr, e.Reason)
	}
	return fmt.Sprintf("netguard: %q refused: %s", e.Host, e.Reason)
}

// Unwrap gives [ErrForbidden].
func (e *Error) Unwrap() error { return ErrForbidden }

// refusal is the Error for a host of a class that the registry may not name.
func refusal(host string, addr netip.Addr, registry, other Class) *Error {
	return &Error{
		Host:   host,
		Addr:   addr,
		Reason: fmt.Sprintf("%v address; the registry's own is %v", other, registry),
	}
}
