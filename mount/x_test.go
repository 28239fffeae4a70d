package mount
import ("testing";"fmt")
func TestX(t *testing.T) {
	one := func(size int64, pol Policy, fs ...Fact) {
		p := NewPlan([]Blob{{Digest: dig(1), Size: size}}, NewEvidence("team/app", Traits{}, fs...), pol)
		fmt.Printf("%d %.3f %s\n", size, p.Cost(), p.Steps[0])
	}
	for _, sz := range []int64{0,100,2000,20000,100000,1<<20, 100<<20} {
		one(sz, Policy{})
		one(sz, Policy{}, Looked(RepoAbsent))
		one(sz, Policy{}, Looked(TagOther))
		one(sz, Policy{}, InTarget(dig(1), Absent))
		one(sz, Policy{}, At(dig(1),"team/base",Confirmed), At(dig(1), "lib", Listed))
		one(sz, Policy{}, At(dig(1),"team/base",Confirmed), At(dig(1), "lib", Listed), InTarget(dig(1), Absent))
	}
}
