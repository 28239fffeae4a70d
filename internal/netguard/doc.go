// Package netguard decides which addresses a registry may lead the client to.
//
// A registry names other hosts: the realm of its token server, the Location of
// an upload, the target of a redirect. Any of them may point into the network
// of whoever runs the client: to a service on its loopback interface, to a
// neighbour on its private network, to the metadata service of its cloud. A
// [Guard] carries the requests to one registry and refuses such hosts, while a
// registry that is itself on a private network may name its neighbours.
//
// What may be reached follows from where the registry is ([Allowed]), and where
// a host is follows from the address to which a connection is made, not from
// what a name resolved to earlier: a name may resolve to a public address when
// it is looked up and to a loopback address when it is dialled.
package netguard
