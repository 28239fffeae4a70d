package mount

import (
	"fmt"
	"testing"
)

// BenchmarkAsk plans a push under a new tag and looks for a question.
func BenchmarkAsk(b *testing.B) {
	for _, n := range []int{10, 100} {
		b.Run(fmt.Sprintf("%d blobs", n), func(b *testing.B) {
			blobs := imageOf(0, 0, n-1, 10<<20)
			e := NewEvidence("team/app", Traits{}, Looked(TagAbsent), Fact{DigestAsked: true})
			b.ReportAllocs()
			for b.Loop() {
				NewPlan(blobs, e, Policy{}).Ask()
			}
		})
	}
}

// BenchmarkNext searches the ladder of a blob with as many sources as are
// tried.
func BenchmarkNext(b *testing.B) {
	var facts []Fact
	for i := range maxSources {
		facts = append(facts, At(dig(1), fmt.Sprint("r", i), Belief(1+i%4)))
	}
	blobs := []Blob{{Digest: dig(1), Size: 100 << 20}}
	s := NewPlan(blobs, NewEvidence("team/app", Traits{}, facts...), Policy{}).Steps[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Next(nil); !ok {
			b.Fatal("no try")
		}
	}
}
