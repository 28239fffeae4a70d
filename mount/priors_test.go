package mount

import "testing"

func TestPriors(t *testing.T) {
	for host, want := range map[string]Trait{
		"ghcr.io": Phantoms, "eu.gcr.io": MountsFrom, "gcr.io": SeesTarget, "europe-docker.pkg.dev": MountsFrom, "codeberg.org": Discovers,
	} {
		if v, known := Priors(host).Known(want); !v || !known {
			t.Errorf("%s: %s is %v, known %v", host, want, v, known)
		}
	}
	if v, known := Priors("123.dkr.ecr.eu-west-1.amazonaws.com").Known(MountsUnreferenced); v || !known {
		t.Error("ECR mounts what no manifest names")
	}
	if Priors("acme.azurecr.io").PutLimit() == 0 {
		t.Error("ACR has no limit")
	}
	if Priors("localhost:5000") != (Traits{}) || Priors("notghcr.io") != (Traits{}) {
		t.Error("a host that is not known has priors")
	}
	for _, p := range wellKnown() {
		if p.evidence == "" {
			t.Errorf("%s: %s without evidence", p.host, p.trait)
		}
	}
}
