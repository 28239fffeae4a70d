package inventory

import (
	"bytes"
	"encoding/json"
	"io"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/crossmount/crossmount/mount"
)

// maxConfig bounds how much of a config is read, in bytes.
const maxConfig = 4 << 20

// PlatformOf returns the platform that a manifest is for: what the index says of
// it, or else its own config. It returns nil if neither says it, or the config
// cannot be read.
func (inv *Inventory) PlatformOf(m Manifest) *v1.Platform {
	if m.Platform != nil {
		return m.Platform
	}
	for _, i := range m.Blobs {
		if b := inv.Blobs[i]; b.Role == mount.Config && b.Size <= maxConfig {
			return configPlatform(b)
		}
	}
	return nil
}

// readConfig is what was read of a config. A config that was pulled from a registry
// is read from there each time that it is opened.
type readConfig struct {
	turn     chan struct{} // holds a token while somebody reads it, or looks whether it was read
	read     bool
	platform *v1.Platform
	content  atomic.Pointer[[]byte] // nil if it was not read, or is not what the digest says
}

func newReadConfig() *readConfig { return &readConfig{turn: make(chan struct{}, 1)} }

// configPlatform returns the platform in a config, which is read once.
func configPlatform(b Blob) *v1.Platform {
	c := b.config
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.read {
		return c.platform
	}
	c.read = true
	rc, err := b.openAnew()
	if err != nil {
		return nil
	}
	defer rc.Close()
	content, err := io.ReadAll(io.LimitReader(rc, maxConfig+1))
	if err == nil && verify(content, b.Digest) == nil {
		c.content.Store(&content)
	}
	c.platform = platformIn(content)
	return c.platform
}

// platformIn returns the platform that the content of a config names, or nil.
func platformIn(content []byte) *v1.Platform {
	var config struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
		Version      string `json:"os.version"`
	}
	if json.NewDecoder(bytes.NewReader(content)).Decode(&config) != nil || config.OS == "" || config.Architecture == "" {
		return nil
	}
	return &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant, OSVersion: config.Version}
}

// SamePlatform says whether two platforms may be the same: a variant or version
// that one of them leaves out may be any.
func SamePlatform(a, b *v1.Platform) bool {
	same := func(x, y string) bool { return x == y || x == "" || y == "" }
	return a != nil && b != nil && a.OS == b.OS && a.Architecture == b.Architecture &&
		same(a.Variant, b.Variant) && same(a.OSVersion, b.OSVersion)
}
