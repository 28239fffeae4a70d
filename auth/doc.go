// Package auth turns a registry's challenge into an Authorization header for a stated scope.
//
// A [Host] stands for one registry. It is told what each request needs ([Need]) and sets the header
// ([Host.Authorize]); it is shown each 401 ([Host.Challenged]) and says whether the request is worth
// repeating. Nothing is asked in advance: the first request goes out bare, its 401 carries the challenge,
// and one token request then serves all that the caller wishes to do.
//
// A scope wished for can only help. When a token server refuses a request because of one of its scopes, or
// grants less, the target's own scope is asked for alone and the other repositories are remembered as not
// readable. What a challenge names as its scope never changes what later requests ask for.
//
// Credentials go to the realm that the registry names, once that realm has passed the checks of
// [Host.Challenged], or, for Basic, to the registry itself: its scheme, host and port. They go nowhere else,
// whatever redirects say, and appear in no error and no log line.
//
// The token protocol is that of the distribution project ("Token Authentication Specification" and "OAuth2
// Token Authentication"); the challenge is that of RFC 9110, section 11.6.1, and RFC 6750, section 3.
package auth
