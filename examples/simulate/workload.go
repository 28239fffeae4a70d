package main

import (
	"fmt"
	"math"
	"math/rand"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// The workload: services that are built again and again on a few bases.
const (
	numBases    = 3
	numServices = 30
	numPushes   = 1000
	minSize     = 10 << 10 // bytes of a layer, at least
	maxSize     = 200e6    // and at most
)

type blob = mount.Blob

// image is the blobs of a manifest, bottom layer first and the config last, and
// the digest of the manifest.
type image struct {
	digest digest.Digest
	blobs  []blob
}

// build is one push: an image to a new tag of the repository of its service.
type build struct {
	repository, tag string
	image           image
	// base is the repository of the base when the build says which it is, and
	// bottom how many layers come from there.
	base   string
	bottom int
}

// maker makes blobs that are all different.
type maker struct {
	random *rand.Rand
	made   int
}

// layers returns n new layers for the positions from first on, of sizes that
// are spread evenly over the magnitudes.
func (m *maker) layers(first, n int) []blob {
	out := make([]blob, n)
	for i := range out {
		size := minSize * math.Exp(m.random.Float64()*math.Log(maxSize/minSize))
		out[i] = blob{Digest: m.digest(), Size: int64(size), Role: mount.Layer, Position: first + i}
	}
	return out
}

func (m *maker) digest() digest.Digest {
	m.made++
	return digest.FromString(fmt.Sprint(m.made))
}

// image returns an image of layers with a new config.
func (m *maker) image(layers []blob) image {
	config := blob{Digest: m.digest(), Size: 1<<10 + m.random.Int63n(7<<10), Role: mount.Config, Position: len(layers)}
	return image{m.digest(), append(slices.Clone(layers), config)}
}

// workload returns the images of the bases, by repository, and n pushes in
// their order. It is the same each time.
func workload(n int) (bases map[string]image, pushes []build) {
	m := &maker{random: rand.New(rand.NewSource(1))}
	bases = map[string]image{}
	var bottoms [numBases][]blob
	for i := range bottoms {
		bottoms[i] = m.layers(0, 3+m.random.Intn(4))
		bases[baseName(i)] = m.image(bottoms[i])
	}
	var services [numServices][]blob // the layers of the last build, none before the first
	for k := range n {
		i := m.random.Intn(numServices)
		bottom := bottoms[i%numBases]
		if services[i] == nil {
			services[i] = append(slices.Clone(bottom), m.layers(len(bottom), 3+m.random.Intn(4))...)
		} else {
			services[i] = m.change(services[i])
		}
		b := build{repository: fmt.Sprintf("team/service-%d", i), tag: fmt.Sprintf("build-%d", k), image: m.image(services[i])}
		if i%2 == 0 { // half of the builds say what they are built on
			b.base, b.bottom = baseName(i%numBases), len(bottom)
		}
		pushes = append(pushes, b)
	}
	return bases, pushes
}

func baseName(i int) string { return fmt.Sprintf("base/image-%d", i) }

// change returns the layers of the next build: one or two at the top are new.
func (m *maker) change(layers []blob) []blob {
	kept := len(layers) - 1 - m.random.Intn(2)
	return append(slices.Clone(layers[:kept]), m.layers(kept, len(layers)-kept)...)
}
