// Package transport speaks the distribution API to one registry host, one
// request at a time.
//
// It reports and does not decide: every method returns an [Answer], which is
// what the registry said, or why it was not heard. A mount that is answered
// 202, 404 or 500 is an Answer like any other; what it means for a blob is for
// package mount to say. Only [Answer.Err] makes an error of an answer, for the
// caller who cannot go on.
//
// Three things happen below that level, because they concern HTTP alone:
// a request is authorized for the scope that it needs (package auth), it is
// repeated where repeating is safe and the registry or the network asked for
// it (see [Retry]), and redirects and Location headers are followed only to
// where they may lead: credentials go to the registry's own scheme, host and
// port and nowhere else, a registry that is reached by https is not left for
// http, and one at a public address does not lead to a private one.
package transport
