// Package wire is the distribution API as data: requests as values that turn into a method and a URL and
// back, and the parts of answers that carry meaning (error bodies, Location, Range, Link and
// WWW-Authenticate headers).
//
// A client and a server that both use it cannot disagree on the API. It makes no HTTP requests and holds
// no state; everything it reads comes from a peer that may be broken or hostile, so every function is
// total: it bounds what it reads and never panics.
//
// The endpoint numbers (end-1 … end-14) are those of the OCI Distribution Specification, section
// "Endpoints".
package wire
