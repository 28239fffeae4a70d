package mount

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// imageOf returns an image of n layers of the given size, and its config.
// Digests begin at first.
func imageOf(image, first, n int, size int64) []Blob {
	var blobs []Blob
	for i := range n {
		blobs = append(blobs, Blob{Digest: dig(first + i), Size: size, Image: image, Position: i})
	}
	return append(blobs, Blob{Digest: dig(first + n), Size: 2000, Role: Config, Image: image, Position: n})
}

// randomPush returns blobs of up to three images and what the registry may
// have said of the target before.
func randomPush(r *rand.Rand, s Standing) ([]Blob, Evidence) {
	var blobs []Blob
	for image := range 1 + r.IntN(3) {
		layers := imageOf(image, 20*image, 1+r.IntN(8), 0)
		for i := range layers {
			layers[i].Size = int64(math.Exp(r.Float64() * 22))
		}
		blobs = append(blobs, layers...)
	}
	facts := []Fact{Looked(s)}
	for _, b := range blobs {
		switch r.IntN(6) {
		case 0:
			facts = append(facts, InTarget(b.Digest, Present))
		case 1:
			facts = append(facts, InTarget(b.Digest, Absent))
		}
	}
	return blobs, NewEvidence("team/app", randomTraits(r), facts...)
}

// randomTraits returns what may be known of a host.
func randomTraits(r *rand.Rand) (h Traits) {
	for range r.IntN(6) {
		h = h.See(Trait(1+r.IntN(int(numTraits)-1)), r.IntN(2) == 0)
	}
	return h
}

// posterior works out by enumeration how likely each blob stands: over whether
// there is an earlier build, and how many bottom layers it shares with each
// image.
func posterior(blobs []Blob, e Evidence) []float64 {
	prior := priors(e.standing)
	likely := func(b Blob, p float64) float64 { return likelihood(e.Presence(b.Digest), p) }
	images := map[int][]int{}
	with, others, none := prior[rebuilt], prior[other], prior[gone]
	for i, b := range blobs {
		if b.Role == Layer {
			images[b.Image] = append(images[b.Image], i)
			others *= likely(b, changedStands)
			none *= likely(b, goneStands)
		}
	}
	stands := make([]float64, len(blobs))
	for _, layers := range images {
		n, sum := len(layers), 0.0
		shares := make([]float64, n)
		for k := range n + 1 {
			weight := survives(k-1, n) - survives(k, n)
			for at, i := range layers {
				p := changedStands
				if at < k {
					p = sharedStands
				}
				weight *= likely(blobs[i], p)
			}
			sum += weight
			for at := range layers {
				p := changedStands
				if at < k {
					p = sharedStands
				}
				shares[at] += weight * p
			}
		}
		with *= sum
		for at, i := range layers {
			stands[i] = shares[at] / sum
		}
	}
	for i := range stands {
		stands[i] = (with*stands[i] + others*changedStands + none*goneStands) / (with + others + none)
	}
	return stands
}

// inTarget returns what the plan believes of each blob.
func inTarget(blobs []Blob, e Evidence) []float64 {
	var out []float64
	for _, s := range NewPlan(blobs, e, Policy{}).Steps {
		out = append(out, s.odds.inTarget)
	}
	return out
}

func TestBeliefsByEnumeration(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 3000 {
		blobs, e := randomPush(r, []Standing{Unlooked, TagAbsent, RepoAbsent, RepoExists}[n%4])
		want := posterior(blobs, e)
		for i, got := range inTarget(blobs, e) {
			b := blobs[i]
			if b.Role == Config || e.Presence(b.Digest) != Unproven {
				continue
			}
			if math.Abs(got-want[i]) > 1e-12 {
				t.Fatalf("layer %d of image %d: %v, want %v\n%+v", b.Position, b.Image, got, want[i], e)
			}
		}
	}
}

// TestTotalProbability: what is believed of a layer does not change, on
// average, by asking for another.
func TestTotalProbability(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	standings := []Standing{RepoExists, Unlooked, TagAbsent, TagOther, RepoAbsent}
	for n := range 600 {
		blobs, e := randomPush(r, standings[n%len(standings)])
		before := inTarget(blobs, e)
		for i, b := range blobs {
			if e.Presence(b.Digest) != Unproven {
				continue
			}
			there := inTarget(blobs, e.With(InTarget(b.Digest, Present)))
			gone := inTarget(blobs, e.With(InTarget(b.Digest, Absent)))
			for j, prior := range before {
				if after := before[i]*there[j] + (1-before[i])*gone[j]; math.Abs(after-prior) > 1e-9 {
					t.Fatalf("standing %d: blob %d is %v likely, and %v on average once %d is known", e.standing, j, prior, after, i)
				}
			}
		}
	}
}

// TestNeighbours: an answer about a layer moves what is believed of the others
// the right way.
func TestNeighbours(t *testing.T) {
	blobs := imageOf(0, 0, 6, 1000)
	e := NewEvidence("team/app", Traits{}, Looked(RepoExists))
	before := inTarget(blobs, e)
	for i := 1; i < 6; i++ {
		if before[i] >= before[i-1] {
			t.Errorf("layer %d is likelier than the one below it: %v", i, before)
		}
	}
	for i := range 6 {
		there := inTarget(blobs, e.With(InTarget(dig(i), Present)))
		gone := inTarget(blobs, e.With(InTarget(dig(i), Absent)))
		placed := inTarget(blobs, e.With(InTarget(dig(i), Placed)))
		for j := range 6 {
			if j != i && (there[j] <= before[j] || gone[j] >= before[j]) {
				t.Errorf("layer %d: %v, %v if %d stands, %v if it does not", j, before[j], there[j], i, gone[j])
			}
			if placed[j] != before[j] {
				t.Errorf("layer %d: %v, %v after %d was placed by this push", j, before[j], placed[j], i)
			}
		}
	}
	if p := inTarget(blobs, e.With(InTarget(dig(0), Absent))); p[5] > 0.1 {
		t.Errorf("the bottom layer is gone, and the top is still %v likely", p[5])
	}
}

// TestPositions: the layers are told apart by their position, in whatever
// order the blobs come.
func TestPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		blobs, e := randomPush(r, RepoExists)
		want := inTarget(blobs, e)
		order := r.Perm(len(blobs))
		var mixed []Blob
		for _, i := range order {
			mixed = append(mixed, blobs[i])
		}
		for at, got := range inTarget(mixed, e) {
			if got != want[order[at]] {
				t.Fatalf("blob %d: %v, and %v in another order", order[at], want[order[at]], got)
			}
		}
	}
}

// TestManyAnswers: no number of layers, and no contradiction in the answers,
// makes a belief that is none.
func TestManyAnswers(t *testing.T) {
	says := map[string]func(i int) Presence{
		"present":  func(int) Presence { return Present },
		"absent":   func(int) Presence { return Absent },
		"by turns": func(i int) Presence { return []Presence{Absent, Present}[i%2] },
		"top only": func(i int) Presence { return []Presence{Absent, Present}[i/300%2] },
	}
	for name, say := range says {
		for _, s := range []Standing{Unlooked, RepoExists, RepoAbsent} {
			blobs := append(imageOf(0, 0, 600, 1000), imageOf(1, 3000, 50, 1000)...)
			facts := []Fact{Looked(s)}
			for i := range 599 {
				facts = append(facts, InTarget(dig(i), say(i)))
			}
			e := NewEvidence("team/app", Traits{}, facts...)
			for i, p := range inTarget(blobs, e) {
				if !(p >= 0 && p <= 1) {
					t.Fatalf("%s: blob %d is %v likely", name, i, p)
				}
			}
			if p := buildsOf(blobs, e).exists(); !(p >= 0 && p <= 1) {
				t.Fatalf("%s: the repository exists with %v", name, p)
			}
		}
	}
}

func TestExists(t *testing.T) {
	blobs := imageOf(0, 0, 5, 1000)
	exists := func(facts ...Fact) float64 { return buildsOf(blobs, NewEvidence("a", Traits{}, facts...)).exists() }
	unknown := exists()
	if there := exists(InTarget(dig(0), Present)); there <= unknown || there < 0.99 {
		t.Errorf("a layer stands: %v, before %v", there, unknown)
	}
	if gone := exists(InTarget(dig(0), Absent), InTarget(dig(1), Absent)); gone >= unknown {
		t.Errorf("two layers do not stand: %v, before %v", gone, unknown)
	}
	if exists(Looked(RepoExists)) != 1 || exists(Looked(RepoAbsent)) != 0 || exists(Looked(TagOther)) != 1 {
		t.Error("the repository was looked at, and is still in doubt")
	}
}

// TestCheckScoutGains: to know more never costs more than the request.
func TestCheckScoutGains(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	scouts := 0
	for n := range 400 {
		blobs, e := randomPush(r, []Standing{RepoExists, TagAbsent, TagOther, RepoAbsent}[n%4])
		for range r.IntN(4) {
			e = e.With(At(blobs[r.IntN(len(blobs))].Digest, []string{"lib", "base"}[r.IntN(2)], Belief(1+r.IntN(4))))
		}
		p := NewPlan(blobs, e, Policy{NoDiscovery: r.IntN(3) == 0})
		for i, s := range p.Steps {
			if s.Disposition(nil) != Undone || !s.checks(nil) {
				continue
			}
			scouts++
			if gain := p.Cost() - p.scouted(i, Check); gain < -1-1e-9*max(1, p.Cost()) {
				t.Fatalf("a check of blob %d gains %v of %v: %+v", i, gain, p.Cost(), blobs)
			}
		}
	}
	if scouts < 1000 {
		t.Errorf("only %d scouts were weighed", scouts)
	}
}

// TestDeterministic: the same input gives the same plan to the last bit.
func TestDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 100 {
		blobs, e := randomPush(r, Unlooked)
		p := NewPlan(blobs, e, Policy{})
		for range 5 {
			again := NewPlan(slices.Clone(blobs), e, Policy{})
			if again.Cost() != p.Cost() || again.String() != p.String() {
				t.Fatalf("%v, and then %v\n%s%s", p.Cost(), again.Cost(), p, again)
			}
		}
	}
}

// TestNewStep: one step is the same as in the whole plan.
func TestNewStep(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		blobs, e := randomPush(r, []Standing{Unlooked, TagOther, TagAbsent, RepoAbsent, RepoExists}[r.IntN(5)])
		p := []Policy{{}, {Strict: true}, {Force: true}, {NoMounts: true}}[r.IntN(4)]
		plan := NewPlan(blobs, e, p)
		for i, want := range plan.Steps {
			if got := NewStep(blobs, e, p, i); got.String() != want.String() || got.Cost() != want.Cost() || got.Disposition(nil) != want.Disposition(nil) {
				t.Fatalf("step %d of %v, %+v:\n%s %v\n%s %v", i, e, p, got, got.Cost(), want, want.Cost())
			}
		}
	}
}
