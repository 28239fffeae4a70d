package push_test

import (
	"github.com/crossmount/crossmount/internal/registrytest"
	"github.com/crossmount/crossmount/push"
)

// The repositories of a probe.
const (
	probeTarget = "team/app"
	probeSource = "team/base"
)

// mountStatus is what a registry of behaviour b answers to a mount of a blob
// that one repository holds, "" for none.
func mountStatus(b registrytest.Behaviour, from, holder string) int {
	scoped := map[registrytest.MountScope]bool{
		registrytest.AnyMount: true, registrytest.MountsWithFrom: from != "", registrytest.MountsWithoutFrom: from == "",
	}
	source := from
	if b.FromIgnored {
		source = ""
	}
	found := holder != ""
	switch {
	case source != "":
		found = source == holder && !(source == probeTarget && b.SelfMountOff)
	case b.Discovery == registrytest.DiscoveryOff:
		found = false
	case b.Discovery == registrytest.DiscoveryTargetOnly:
		found = holder == probeTarget
	}
	switch {
	case b.MountFromStatus[from] != 0:
		return b.MountFromStatus[from]
	case b.MountStatus != 0 && scoped[b.MountScope]:
		return b.MountStatus
	case source != "" && source != holder && b.MountBlobMissing != 0:
		return b.MountBlobMissing
	case !found || b.MountAlways202 || b.GlobalBlobs:
		return 202
	case b.MountErrorsThoughMounted && from != "":
		return 500
	}
	return 201
}

// is turns what is so or not into a value.
func is(yes bool) push.Value {
	if yes {
		return push.Yes
	}
	return push.No
}

// unless is unknown where the first is true, else what the second says.
func unless(unknown, yes bool) push.Value {
	if unknown {
		return push.Unknown
	}
	return is(yes)
}

// mute says that a status says nothing of what it answers.
func mute(status int) bool { return status >= 500 || status == 429 }

// wantMounts derives the traits about mounts from a behaviour.
func wantMounts(b registrytest.Behaviour) map[push.Trait]push.Value {
	from, miss := mountStatus(b, probeSource, probeSource), mountStatus(b, probeSource, "")
	found, any, self := mountStatus(b, "", probeSource), mountStatus(b, "", probeTarget), mountStatus(b, probeTarget, probeTarget)
	named := b.MountDigest != registrytest.DigestOther
	real := named && b.PhantomMount >= 0
	mounts := unless(mute(from) || from == 401 || from == 403, from == 201 && real)
	if b.MountErrorsThoughMounted {
		mounts = push.Yes // the error is a lie
	}
	hit := named && (from == 201 || found == 201)
	opens := func(status int) bool { return status == 202 && !b.AcceptedWithoutLocation }
	takes := any == 201 || any == 202
	return map[push.Trait]push.Value{
		push.TraitMountsFrom:         mounts,
		push.TraitMountsUnreferenced: unless(mounts != push.Yes, !b.ReferencedOnly),
		push.TraitDiscovers:          unless(mute(found), found == 201 && real),
		push.TraitPhantoms:           unless(!hit, b.PhantomMount != 0),
		push.TraitTakesAny:           unless(mute(any), takes),
		push.TraitSeesTarget:         unless(mute(any), any == 201 && named),
		push.TraitSelfMounts:         unless(mute(self), self == 201 && named),
		push.TraitMissOpens:          unless(mute(miss), opens(miss)),
		push.TraitMissUploads:        unless(!opens(miss) && !opens(mountStatus(b, "", "")), true),
	}
}

// maxLeast is the largest least chunk with which parts are tried.
const maxLeast = 64 << 10

// wantOthers derives all other traits.
func wantOthers(b registrytest.Behaviour) map[push.Trait]push.Value {
	heads, form := b.HeadStatus == 0, b.LocationForm
	local := !b.HeadSeesAll && !b.GlobalBlobs
	checks := b.MissingBlobs != registrytest.MissingUnchecked
	names := map[registrytest.MissingBlobs]bool{
		registrytest.MissingNamed: true, registrytest.MissingNamedInText: true, registrytest.MissingUploadUnknown: true,
	}
	deletes := b.DeleteSession == 0 || b.DeleteSession == 204
	return map[push.Trait]push.Value{
		push.TraitHeads:            is(heads),
		push.TraitHeadLocal:        unless(!heads, local),
		push.TraitRelative:         is(form != registrytest.LocationAbsolute && form != registrytest.LocationStateQuery),
		push.TraitOwnHost:          push.Yes,
		push.TraitState:            is(form == registrytest.LocationStateQuery),
		push.TraitNamesDigest:      is(b.PutStatus == 0),
		push.TraitSinglePost:       is(b.SinglePost != registrytest.SinglePostIgnored),
		push.TraitStreams:          push.Yes,
		push.TraitParts:            unless(b.ChunkMin > maxLeast, b.LaterPatch == registrytest.LaterPatchTaken),
		push.TraitLeastChunk:       is(b.ChunkMin > 0),
		push.TraitStands:           is(b.StatusSession == 0),
		push.TraitResumes:          is(b.StatusSession == 0 && !b.SessionDropsOnCut),
		push.TraitCancels:          is(deletes),
		push.TraitValidates:        is(checks),
		push.TraitNamesMissing:     unless(!checks, names[b.MissingBlobs]),
		push.TraitTagParams:        is(b.TagParams),
		push.TraitSubject:          is(b.Subject),
		push.TraitReferrers:        is(b.Subject),
		push.TraitDeletesManifests: push.Yes,
		push.TraitDeletesBlobs:     push.Yes,
	}
}
