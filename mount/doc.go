// Package mount decides, from evidence alone, how each blob of an image should
// reach its repository.
//
// It is pure: functions from values to values, without context, network, time
// or locks. [NewPlan] turns the blobs of an image, the [Evidence] about the
// target repository and its registry, and a [Policy] into a [Plan]. A plan has
// a [Step] for each blob; a step is a ladder of tries:
//
//	Check      HEAD blob                        is it in the target?
//	Mount      POST ?mount=D&from=R             link it from repository R
//	MountSelf  POST ?mount=D&from=<the target>  is it there? if not, open a session
//	MountAny   POST ?mount=D                    let the registry find it (automatic content discovery)
//	Upload     PUT of the bytes                 the last resort, always reachable
//
// Whoever runs the plan asks [Step.Next] for the next try, makes it, and hands
// back what it came back with as an [Outcome]. An outcome is data: a mount
// that is refused is not an error, it is a reason to go on. [Learn] turns an
// outcome into facts, and [Evidence.With] adds them to what the next plan
// knows.
//
// # The cost rule
//
// A try of probability p that costs c and saves s is worth its place while
// p·s > c. The costs of all tries of a ladder depend on each other: a mount
// that misses opens the session that the upload needs, a session that another
// mount makes void has to be cancelled, and a Check that misses says what a
// MountSelf would have said. So the ladder with the least expected cost is
// found exactly, by dynamic programming over what has been tried, and the same
// cost is what [Plan.Ask] compares when it decides whether a question that
// concerns all blobs at once is worth a request.
package mount
