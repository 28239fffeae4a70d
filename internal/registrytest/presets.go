package registrytest

import (
	"net/http"
)

// Known is a registry whose answers are known.
type Known struct {
	Name string
	Behaviour
}

// Registries returns the behaviours of known registries, as measured (distribution, zot, olareg, ggcr, cue,
// the fork of 2021) or as documented and reported (the hosted ones), without authorization, latency and
// rate limits.
func Registries() []Known {
	return append(measured(), hosted()...)
}

// Lookup returns the behaviour of a known registry by its name; ok is false for another name.
func Lookup(name string) (b Behaviour, ok bool) {
	for _, k := range Registries() {
		if k.Name == name {
			return k.Behaviour, true
		}
	}
	return Behaviour{}, false
}

// measured are registries that were probed on loopback.
func measured() []Known {
	return []Known{
		{"distribution-2.8", Behaviour{
			LocationForm: LocationStateQuery, RangeIgnored: true, SessionDropsOnCut: true,
		}},
		{"distribution-3", Behaviour{
			LocationForm: LocationStateQuery, StaleSession: http.StatusRequestedRangeNotSatisfiable,
		}},
		{"distribution-fork-2021", Behaviour{
			LocationForm: LocationStateQuery, SessionDropsOnCut: true, MountErrorsThoughMounted: true,
		}},
		{"zot", Behaviour{
			Discovery: DiscoveryOn, FromIgnored: true, MountDigest: DigestNone, SinglePost: SinglePostOctetStream,
			PutChunkedRefused: true, SessionDropsOnCut: true, HeadSeesAll: true, HeadLinks: true,
			MissingBlobs: MissingUnnamed, TagParams: true, Subject: true, ManifestLimit: 4 << 20, ManifestGetUnknownName: true,
		}},
		{"zot-no-dedupe", Behaviour{
			Discovery: DiscoveryTargetOnly, FromIgnored: true, MountDigest: DigestNone, SinglePost: SinglePostOctetStream,
			PutChunkedRefused: true, SessionDropsOnCut: true,
			MissingBlobs: MissingUnnamed, TagParams: true, Subject: true, ManifestLimit: 4 << 20, ManifestGetUnknownName: true,
		}},
		{"olareg", Behaviour{
			Discovery: DiscoveryTargetOnly, SinglePost: SinglePostTaken, SessionBoundToDigest: true, NoUploadRange: true,
			FreshRange: "0--1", MissingBlobs: MissingNamedInText, TagParams: true, TagHeader: true, Subject: true, ManifestLimit: 8 << 20,
			ErrorsPlainText: true, ManifestGetUnknownName: true,
		}},
		{"ggcr", Behaviour{
			MountAlways202: true, GlobalBlobs: true, SinglePost: SinglePostTaken, MissingBlobs: MissingUnchecked,
			DeleteSession: http.StatusBadRequest, StatusSession: http.StatusBadRequest, CreatedWithoutLocation: true,
			ErrorsPlainText: true,
		}},
		{"cue", Behaviour{
			MountFromMissing: http.StatusNotFound, MountBlobMissing: http.StatusNotFound, SinglePost: SinglePostTaken,
			DeleteSession: http.StatusMethodNotAllowed, ChunkMin: 8192, MissingBlobs: MissingInternal, Subject: true,
		}},
	}
}

// hosted are registries that were not probed: what their makers and users say of them.
func hosted() []Known {
	return []Known{
		{"ghcr.io", Behaviour{
			LocationForm: LocationOtherPath, PhantomMount: 1, PatchLimit: 4 << 20,
		}},
		{"ecr", Behaviour{
			LocationForm: LocationAbsolute, ReferencedOnly: true, PatchStatus: http.StatusCreated, LaterPatch: LaterPatchDropped,
			MissingBlobs: MissingUploadUnknown, CreatedWithoutLocation: true, RepoAbsentReset: true,
		}},
		{"ecr-no-mounting", Behaviour{
			LocationForm: LocationAbsolute, MountAlways202: true, PatchStatus: http.StatusCreated, LaterPatch: LaterPatchDropped,
			MissingBlobs: MissingUploadUnknown, CreatedWithoutLocation: true, StatusSession: http.StatusNotFound,
		}},
		{"gcr", Behaviour{
			Discovery: DiscoveryTargetOnly, Subject: true,
		}},
		{"acr", Behaviour{
			LocationForm: LocationStateQuery, PutLimit: 20 << 20, EventualManifest: 1, Subject: true,
		}},
		{"quay", Behaviour{
			LocationForm: LocationAbsolute, FreshRange: "bytes=0--1",
		}},
		{"quay-2020", Behaviour{
			LocationForm: LocationAbsolute, FreshRange: "bytes=0--1",
			MountStatus: http.StatusBadRequest, MountScope: MountsWithoutFrom,
		}},
		{"harbor", Behaviour{
			MountFromMissing: http.StatusUnauthorized, MountStatus: http.StatusBadRequest, MountScope: MountsFromTopLevel,
			LocationForm: LocationStateQuery,
		}},
		{"artifactory", Behaviour{
			MountAlways202: true, HeadSeesAll: true, ManifestHeadStatus: http.StatusForbidden,
		}},
		{"nexus-group", Behaviour{
			MountStatus: http.StatusMethodNotAllowed, HeadSeesAll: true, EventualManifest: 1,
		}},
		{"gitea", Behaviour{
			Discovery: DiscoveryOn, LaterPatch: LaterPatchRefused, ManifestLimit: 10 << 20,
		}},
		{"gitea-2022", Behaviour{
			Discovery: DiscoveryOn, PhantomMount: -1, LaterPatch: LaterPatchRefused,
		}},
		{"pulp", Behaviour{
			MountFromMissing: http.StatusNotFound, MountBlobMissing: http.StatusNotFound,
		}},
		{"cloudflare-serverless", Behaviour{
			SelfMountOff: true, HeadSize: 86, ChunkMin: 5 << 20, BodyLimit: 100 << 20,
		}},
	}
}
