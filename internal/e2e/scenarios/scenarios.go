package scenarios

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/internal/e2e/images"
	"github.com/crossmount/crossmount/push"
)

// All returns all scenarios. Where not said otherwise, the image has 9 layers,
// 6 of them those of a base, and is pushed to app:v1.
func All() []Scenario {
	return slices.Concat(Images(), indexes(), refs(), odd())
}

// Images returns those of one image and one reference.
func Images() []Scenario {
	return []Scenario{
		{Name: "cold", Requests: 25, Layers: 9, prepare: func(s *Stage) (push.Image, []string, error) {
			return one(s.first())
		}},
		{Name: "again", Requests: 2, prepare: func(s *Stage) (push.Image, []string, error) {
			return s.after("app:v1", s.first, s.first)
		}},
		{Name: "new tag, same digest", Requests: 4, prepare: func(s *Stage) (push.Image, []string, error) {
			return s.after("app:v0", s.first, s.first)
		}},
		{Name: "same tag, changed", Requests: 8, Layers: 1, prepare: func(s *Stage) (push.Image, []string, error) {
			return s.after("app:v1", s.first, s.changed)
		}},
		{Name: "new tag, changed", Requests: 16, Layers: 1, prepare: func(s *Stage) (push.Image, []string, error) {
			return s.after("app:v0", s.first, s.changed)
		}},
		{Name: "base known", Requests: 18, Layers: 3, prepare: onKnownBase},
		{Name: "base unknown", Requests: 25, Layers: 9, prepare: func(s *Stage) (push.Image, []string, error) {
			if err := s.putBase(); err != nil {
				return nil, nil, err
			}
			return one(s.first())
		}},
		{Name: "base pushed before", Requests: 18, Layers: 3, prepare: onPushedBase},
		{Name: "promote", Requests: 15, prepare: func(s *Stage) (push.Image, []string, error) {
			img, err := s.first()
			if err != nil {
				return nil, nil, err
			}
			if err := s.seed(img, "staging:v1"); err != nil {
				return nil, nil, err
			}
			if s.job.Whole, err = s.ref("staging:v1"); err != nil {
				return nil, nil, err
			}
			return one(s.pull("staging:v1"))
		}},
	}
}

// onKnownBase appends to the base as it is pulled from its repository.
func onKnownBase(s *Stage) (push.Image, []string, error) {
	if err := s.putBase(); err != nil {
		return nil, nil, err
	}
	base, err := s.pull("base:v1")
	if err != nil {
		return nil, nil, err
	}
	s.job.Base = "base"
	return one(images.Append(base, "first", s.app...))
}

// onPushedBase pushes the base with the same client before.
func onPushedBase(s *Stage) (push.Image, []string, error) {
	base, err := images.Image("base", s.base...)
	if err != nil {
		return nil, nil, err
	}
	ref, err := s.ref("base:v1")
	if err != nil {
		return nil, nil, err
	}
	if err := s.Push(base, ref); err != nil {
		return nil, nil, err
	}
	return one(s.first())
}

// indexes returns those of indexes. Each platform has 5 layers of a base that all
// share, and 4 of its own; where there are four platforms, 6 and 3.
func indexes() []Scenario {
	return []Scenario{
		{Name: "index", Requests: 38, Layers: 13, prepare: func(s *Stage) (push.Image, []string, error) {
			return one(s.platforms("amd64", "arm64"))
		}},
		{Name: "index again", Requests: 2, prepare: func(s *Stage) (push.Image, []string, error) {
			idx, err := s.platforms("amd64", "arm64")
			if err != nil {
				return nil, nil, err
			}
			return idx, []string{"app:v1"}, s.seed(idx, "app:v1")
		}},
		{Name: "index, one platform more", Requests: 16, Layers: 4, prepare: func(s *Stage) (push.Image, []string, error) {
			old, err := s.platforms("amd64", "arm64")
			if err != nil {
				return nil, nil, err
			}
			if err := s.seed(old, "app:v1"); err != nil {
				return nil, nil, err
			}
			return one(s.platforms("amd64", "arm64", "riscv64"))
		}},
		{Name: "nested index", Requests: 50, Layers: 17, prepare: func(s *Stage) (push.Image, []string, error) {
			inner, err := s.platforms("amd64", "arm64")
			if err != nil {
				return nil, nil, err
			}
			img, err := s.platform("riscv64", 5, 4)
			if err != nil {
				return nil, nil, err
			}
			return images.Index([]string{"", "riscv64"}, inner, img), []string{"app:v1"}, nil
		}},
		{Name: "index of four", Requests: 55, Layers: 18, prepare: func(s *Stage) (push.Image, []string, error) {
			return one(s.four())
		}},
		{Name: "index of four, again", Requests: 2, prepare: func(s *Stage) (push.Image, []string, error) {
			idx, err := s.four()
			if err != nil {
				return nil, nil, err
			}
			return idx, []string{"app:v1"}, s.seed(idx, "app:v1")
		}},
		{Name: "promote index of four", Requests: 31, prepare: func(s *Stage) (push.Image, []string, error) {
			idx, err := s.four()
			if err != nil {
				return nil, nil, err
			}
			if err := s.seed(idx, "staging:v1"); err != nil {
				return nil, nil, err
			}
			if s.job.Whole, err = s.ref("staging:v1"); err != nil {
				return nil, nil, err
			}
			return one(s.pullIndex("staging:v1"))
		}},
	}
}

// refs returns those of several references.
func refs() []Scenario {
	return []Scenario{
		{Name: "two repositories", Requests: 37, Layers: 9, prepare: func(s *Stage) (push.Image, []string, error) {
			img, err := s.first()
			return img, []string{"app:v1", "mirror/app:v1"}, err
		}},
		{Name: "three tags", Requests: 27, Layers: 9, prepare: func(s *Stage) (push.Image, []string, error) {
			img, err := s.first()
			return img, []string{"app:v1", "app:v1.2", "app:latest"}, err
		}},
	}
}

// odd returns those of images that are not as most.
func odd() []Scenario {
	return []Scenario{
		{Name: "zero-byte layer", NoArchive: true, Requests: 16, Layers: 3, prepare: func(s *Stage) (push.Image, []string, error) {
			empty, err := images.EmptyLayer()
			if err != nil {
				return nil, nil, err
			}
			return one(images.Image("zero", s.app[0], empty, s.app[1], s.app[2]))
		}},
		{Name: "duplicate layers", Requests: 14, Layers: 3, prepare: func(s *Stage) (push.Image, []string, error) {
			return one(images.Image("twice", s.app[0], s.app[1], s.app[0], s.app[2], s.app[0]))
		}},
		{Name: "force upload", Requests: 22, Layers: 9, Options: []push.Option{push.WithForceUpload()},
			prepare: func(s *Stage) (push.Image, []string, error) {
				return s.after("app:v1", s.first, s.first)
			}},
	}
}

// one says that image goes to app:v1.
func one[I push.Image](image I, err error) (push.Image, []string, error) {
	return image, []string{"app:v1"}, err
}

// after seeds one image and pushes another, to app:v1.
func (s *Stage) after(seed string, before, now func() (v1.Image, error)) (push.Image, []string, error) {
	old, err := before()
	if err != nil {
		return nil, nil, err
	}
	if err := s.seed(old, seed); err != nil {
		return nil, nil, err
	}
	return one(now())
}
