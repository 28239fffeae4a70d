package mount

import (
	"math"
	"sort"
)

// What is believed of the target before its blobs are asked for: whether there
// is such a repository, whether it holds an earlier build of the image, and how
// much of that build is the same. Images change from the top, so of a related
// build some bottom layers stand.
const (
	relatedUnlooked = 0.7     // the target has an earlier build of this image: most pushes are rebuilds under a new tag
	relatedExists   = 0.9     // ... when the repository exists
	bottomKept      = 0.9     // of related builds, the share with the same bottom layer
	topKept         = 0.5     // ... and with the same top layer
	changedStands   = 0.04    // a layer above one that changed, or of another image, stands all the same
	sharedStands    = 0.995   // a layer below one that stands is there too
	strayStands     = 0.03    // a blob that the manifest which was looked at does not name stands all the same
	configStands    = 0.04    // the config stands though the manifest does not
	goneStands      = 0.00001 // a blob stands though the registry does not know the repository
)

// past is what the target was before this push.
type past int

const (
	rebuilt past = iota // it holds an earlier build of the image
	other               // it holds other images
	gone                // there is no such repository
	numPasts
)

// priors returns how likely each past is, given what a look has shown.
func priors(s Standing) [numPasts]float64 {
	switch s {
	case RepoAbsent:
		return [numPasts]float64{gone: 1}
	case RepoExists, TagOther:
		return [numPasts]float64{rebuilt: relatedExists, other: 1 - relatedExists}
	}
	exists := relatedUnlooked / relatedExists
	return [numPasts]float64{rebuilt: relatedUnlooked, other: exists - relatedUnlooked, gone: 1 - exists}
}

// builds weighs what the registry has said of the layers in the target: how
// well it fits each past.
type builds struct {
	standing Standing
	strays   float64           // probability of a blob to stand that the manifest which was looked at does not name
	share    [numPasts]float64 // probability of each past
	kept     []float64         // by index of the blob: a layer stands if there is an earlier build
}

// buildsOf reads the evidence about the layers of blobs.
func buildsOf(blobs []Blob, e Evidence) builds {
	u := builds{standing: e.standing, kept: make([]float64, len(blobs))}
	u.strays = e.traits.probability(Strays, strayStands)
	var favour [numPasts]float64 // logarithms of the likelihoods
	for _, layers := range layersOf(blobs) {
		said := make([]Presence, len(layers))
		for i, b := range layers {
			said[i] = e.Presence(blobs[b].Digest)
			favour[other] += math.Log(likelihood(said[i], changedStands))
			favour[gone] += math.Log(likelihood(said[i], goneStands))
		}
		kept, f := keptOf(said)
		favour[rebuilt] += f
		for i, b := range layers {
			u.kept[b] = kept[i]
		}
	}
	u.share = weigh(priors(e.standing), favour)
	return u
}

// weigh returns the shares of pasts with the given priors and logarithms of
// likelihoods.
func weigh(prior, favour [numPasts]float64) (share [numPasts]float64) {
	most := math.Inf(-1)
	for i, p := range prior {
		if p > 0 {
			most = max(most, favour[i])
		}
	}
	sum := 0.0
	for i, p := range prior {
		if p > 0 {
			share[i] = p * math.Exp(favour[i]-most)
		}
		sum += share[i]
	}
	for i := range share {
		share[i] /= sum
	}
	return share
}

// layersOf returns the indexes of the layers of each image, bottom layer
// first, the images in order.
func layersOf(blobs []Blob) [][]int {
	var layers []int
	for i, b := range blobs {
		if b.Role == Layer {
			layers = append(layers, i)
		}
	}
	sort.SliceStable(layers, func(i, j int) bool {
		a, b := blobs[layers[i]], blobs[layers[j]]
		if a.Image != b.Image {
			return a.Image < b.Image
		}
		return a.Position < b.Position
	})
	var images [][]int
	for i, l := range layers {
		if i == 0 || blobs[l].Image != blobs[layers[i-1]].Image {
			images = append(images, nil)
		}
		images[len(images)-1] = append(images[len(images)-1], l)
	}
	return images
}

// keptOf weighs every number of bottom layers that an earlier build may share
// with the image, given what was said of each layer. It returns the
// probability of each layer to stand if there is such a build, and the logarithm
// of how likely the answers are then.
func keptOf(said []Presence) (kept []float64, favour float64) {
	n := len(said)
	weight := make([]float64, n+1) // weight[k]: the bottom k layers are shared
	for k := range weight {
		weight[k] = survives(k-1, n) - survives(k, n)
	}
	for i, p := range said {
		if p == Unproven {
			continue
		}
		most := 0.0
		for k := range weight {
			if i < k {
				weight[k] *= likelihood(p, sharedStands)
			} else {
				weight[k] *= likelihood(p, changedStands)
			}
			most = max(most, weight[k])
		}
		for k := range weight { // no number of answers is too many for a float64
			weight[k] /= most
		}
		favour += math.Log(most)
	}
	with := 0.0
	for _, w := range weight {
		with += w
	}
	kept = make([]float64, n)
	shared := 0.0 // probability that layer i is below the change
	for i := n - 1; i >= 0; i-- {
		shared += weight[i+1]
		p := shared / with
		kept[i] = p*sharedStands + (1-p)*changedStands
	}
	return kept, favour + math.Log(with)
}

// survives returns the probability that the layer at position i of n is shared
// with a related build.
func survives(i, n int) float64 {
	switch {
	case i < 0:
		return 1
	case i >= n:
		return 0
	case n == 1:
		return bottomKept
	}
	return bottomKept - (bottomKept-topKept)*float64(i)/float64(n-1)
}

// likelihood returns how likely it is that the registry says p of a layer that
// stands with the given probability.
func likelihood(p Presence, stands float64) float64 {
	switch p {
	case Present:
		return stands
	case Absent:
		return 1 - stands
	}
	return 1
}

// exists returns the probability that the repository exists.
func (u builds) exists() float64 { return u.share[rebuilt] + u.share[other] }

// stands returns the probability that the target holds b, the blob with this
// index.
func (u builds) stands(b Blob, index int) float64 {
	switch {
	case u.standing == TagOther:
		return u.strays
	case b.Role == Config:
		return u.exists()*configStands + u.share[gone]*goneStands
	}
	return u.share[rebuilt]*u.kept[index] + u.share[other]*changedStands + u.share[gone]*goneStands
}
