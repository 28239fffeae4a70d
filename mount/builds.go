package mount

import (
	"math"
	"sort"
)

// What is believed of the target before its blobs are asked for: whether it
// holds an earlier build of the image, and how much of that build is the same.
// Images change from the top, so of a related build some bottom layers stand.
const (
	relatedUnlooked = 0.7   // the target has an earlier build of this image: most pushes are rebuilds under a new tag
	relatedExists   = 0.9   // ... when the repository has other tags
	relatedGone     = 0.001 // ... when the registry does not know the repository
	bottomKept      = 0.9   // of related builds, the share with the same bottom layer
	topKept         = 0.5   // ... and with the same top layer
	changedStands   = 0.04  // a layer above one that changed stands all the same
	sharedStands    = 0.995 // a layer below one that stands is there too
	otherTagStands  = 0.03  // a blob that the tag's manifest does not name stands all the same
	configStands    = 0.04  // the config stands though the manifest does not
)

// related returns the prior probability that the target holds an earlier build.
func related(s Standing) float64 {
	switch s {
	case RepoAbsent:
		return relatedGone
	case RepoExists:
		return relatedExists
	}
	return relatedUnlooked
}

// builds weighs what the registry has said of the layers in the target: how
// well it fits a target with an earlier build of the image, and one without.
type builds struct {
	standing Standing
	with     float64   // likelihood of the answers if there is an earlier build, up to a factor
	without  float64   // ... if there is none, up to the same factor
	kept     []float64 // by index of the blob: a layer stands if there is an earlier build
}

// buildsOf reads the evidence about the layers of blobs.
func buildsOf(blobs []Blob, e Evidence) builds {
	u := builds{standing: e.standing, kept: make([]float64, len(blobs))}
	favour := 0.0
	for _, layers := range layersOf(blobs) {
		said := make([]Presence, len(layers))
		for i, b := range layers {
			said[i] = e.Presence(blobs[b].Digest)
		}
		kept, f := keptOf(said, foreign(e.standing))
		favour += f
		for i, b := range layers {
			u.kept[b] = kept[i]
		}
	}
	u.with, u.without = math.Exp(min(favour, 0)), math.Exp(min(-favour, 0))
	return u
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
// probability of each layer to stand if there is such a build, and how much the
// answers favour that there is one: the logarithm of how many times likelier
// they are with than without.
func keptOf(said []Presence, foreign float64) (kept []float64, favour float64) {
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
		favour += math.Log(most) - math.Log(likelihood(p, foreign))
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

// foreign returns the probability that the target holds a layer of an image of
// which it has no earlier build: next to none where there is no repository.
func foreign(s Standing) float64 {
	prior, there := related(s), existence(s)
	exists := (there - prior) / (1 - prior)
	return exists*changedStands + (1-exists)*relatedGone
}

// existence returns the prior probability that the repository exists.
func existence(s Standing) float64 {
	switch s {
	case RepoAbsent:
		return relatedGone
	case RepoExists, TagOther:
		return 1
	}
	return relatedUnlooked / relatedExists
}

// earlier returns the probability that the target holds an earlier build.
func (u builds) earlier() float64 {
	prior := related(u.standing)
	return prior * u.with / (prior*u.with + (1-prior)*u.without)
}

// exists returns the probability that the repository exists.
func (u builds) exists() float64 {
	if u.standing == RepoAbsent {
		return 0
	}
	prior := existence(u.standing)
	there := relatedExists*u.with + (1-relatedExists)*u.without
	gone := relatedGone*u.with + (1-relatedGone)*u.without
	return prior * there / (prior*there + (1-prior)*gone)
}

// stands returns the probability that the target holds b, the blob with this
// index.
func (u builds) stands(b Blob, index int) float64 {
	switch {
	case u.standing == RepoAbsent && b.Role == Config:
		return relatedGone
	case u.standing == TagOther:
		return otherTagStands
	case b.Role == Config:
		return configStands
	}
	p := u.earlier()
	return p*u.kept[index] + (1-p)*foreign(u.standing)
}
