// Package e2e tests pushes against real registries on loopback: CNCF
// distribution, with and without token authorization, olareg, the registries of
// cue and go-containerregistry, and docker-registry of Debian if it is
// installed.
//
// Every scenario of package scenarios is pushed to every registry. What was
// pushed is pulled back by three other clients, and the requests and bytes that
// reached the registry are counted and held to bounds. The command cmd/compare
// counts what other clients need for the same scenarios, and cmd/doctor prints what
// each registry does.
//
// It is a module of its own: the registries and clients, and the newer Go that
// distribution asks for, reach nobody who imports the library.
package e2e
