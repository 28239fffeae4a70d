package mount

import "strings"

// prior is what is known of a well-known host before the first push to it, and
// how that is known.
type prior struct {
	host     string // the name, or the end of it when it begins with a dot
	trait    Trait
	value    bool
	evidence string
}

// wellKnown is the table of well-known hosts. Each row counts like one observation,
// so that what a push sees overturns it soon: registries change their ways.
func wellKnown() []prior {
	return []prior{
		{"index.docker.io", MountsFrom, true, "API documentation: 201 or 202"},
		{"ghcr.io", MountsFrom, true, "mounts seen in mirrors of package bottles, 2026"},
		{"ghcr.io", Phantoms, true, "201 without the blob some 180 packages into a mirror, when it throttles, 2026"},
		{"gcr.io", MountsFrom, true, "go-containerregistry, remote.Write"},
		{"gcr.io", SeesTarget, true, "checks for existence when a mount names no source: go-containerregistry, remote.Write"},
		{".gcr.io", MountsFrom, true, "as gcr.io"},
		{".gcr.io", SeesTarget, true, "as gcr.io"},
		{".pkg.dev", MountsFrom, true, "matrix of rules_img"},
		{".azurecr.io", MountsFrom, true, "published conformance results, 2022 and 2024"},
		{"quay.io", MountsFrom, true, "source: endpoints/v2/blob.py"},
		{"quay.io", Discovers, false, "source: 202, no automatic mount origin discovery"},
		{".amazonaws.com", MountsUnreferenced, false, "ECR mounts only blobs that a manifest names, containers-roadmap 2860"},
		{"public.ecr.aws", MountsFrom, false, "202 in logs: containers-roadmap 1459"},
		{"registry.gitlab.com", MountsFrom, true, "published conformance results, 2023"},
		{".jfrog.io", MountsFrom, false, "published conformance results of 7.93, 2024: 202 always"},
		{"codeberg.org", Discovers, true, "source of Gitea and Forgejo: finds the blob in any repository that may be read"},
		{"codeberg.org", MountsFrom, true, "as above"},
		{"gitea.com", Discovers, true, "as codeberg.org"},
		{"gitea.com", MountsFrom, true, "as codeberg.org"},
	}
}

// acrPutLimit is the body in bytes from which on Azure's registry was seen to
// refuse a PUT (goharbor/harbor issue 23015).
const acrPutLimit = 20 << 20

// Priors returns what is known of a host, by its name, before the first push to
// it.
func Priors(host string) Traits {
	var t Traits
	for _, p := range wellKnown() {
		if p.host == host || strings.HasPrefix(p.host, ".") && strings.HasSuffix(host, p.host) {
			t = t.See(p.trait, p.value)
		}
	}
	if strings.HasSuffix(host, ".azurecr.io") {
		t = t.SeeLimit(acrPutLimit, false)
	}
	return t
}
