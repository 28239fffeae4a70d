// Package conformance runs the conformance suite of the OCI distribution specification against the test
// registry of this project, so that what the other tests lean on is itself held to the specification.
//
// It is a module of its own: the suite's dependencies reach nobody who imports the library.
package conformance
