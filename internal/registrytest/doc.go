// Package registrytest is an OCI registry in memory, for tests and examples. It answers as real
// registries do, the odd ones included, and records exactly what it was asked.
//
//   - [Behaviour] holds the manners of real registries as named knobs. Its zero value is a conforming
//     registry like the CNCF distribution.
//   - [Registry.Log], [Registry.Lines] and [Registry.Count] say what came over the wire, so that a test can
//     assert a push request by request.
//   - [Registry.Violations] lists what the specification forbids. [Start] fails the test for each.
//   - [Registry.Inject] breaks connections, loses replies and answers with errors.
//   - [Start] and [Serve] serve on loopback; [Registry.Client] and [Network] need no network at all, so
//     that tests run under testing/synctest.
//
// Replies carry headers and JSON fields that no specification knows (unless [Behaviour.NoGrease] is set),
// so that a client which trips over the unknown fails here first.
package registrytest
