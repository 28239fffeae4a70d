package mount_test

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// An image goes to a repository that does not exist yet, on a registry that is
// known to mount. Its base image is said to be in another repository.
func Example() {
	base, app, config := digest.FromString("base"), digest.FromString("app"), digest.FromString("config")
	blobs := []mount.Blob{
		{Digest: base, Size: 30 << 20, Position: 0},
		{Digest: app, Size: 5 << 20, Position: 1},
		{Digest: config, Size: 2100, Role: mount.Config},
	}
	host := mount.Traits{}.See(mount.MountsFrom, true)
	evidence := mount.NewEvidence("team/app", host,
		mount.Looked(mount.RepoAbsent),
		mount.At(base, "library/debian", mount.Claimed),
		mount.InTarget(app, mount.Absent),
	)
	plan := mount.NewPlan(blobs, evidence, mount.Policy{NoDiscovery: true})
	fmt.Print(plan)

	// The first try is made, and what it comes back with is a fact for the
	// next plan.
	try, _ := plan.Steps[0].Next(nil)
	outcomes := []mount.Outcome{{Try: try, Status: 201}}
	fmt.Printf("%s, answered 201: %s\n", try, plan.Steps[0].Disposition(outcomes))
	evidence = evidence.With(mount.Learn(blobs[0], evidence, outcomes)...)
	fmt.Println(mount.NewPlan(blobs, evidence, mount.Policy{}).Steps[0])

	// Output:
	// plan for team/app
	//   layer  cae662172fd4   31457280 B mount from library/debian, then upload
	//   layer  a172cedcae47    5242880 B upload
	//   config b79606fb3afe       2100 B mount-self, then upload
	// mount from library/debian, answered 201: mounted
	// stands
}
