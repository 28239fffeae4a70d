package inventory

import (
	"encoding/json"
	"io"

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

// configPlatform reads the platform in a config.
func configPlatform(b Blob) *v1.Platform {
	rc, err := b.Open()
	if err != nil {
		return nil
	}
	defer rc.Close()
	var config struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
		Version      string `json:"os.version"`
	}
	if json.NewDecoder(io.LimitReader(rc, maxConfig)).Decode(&config) != nil || config.OS == "" || config.Architecture == "" {
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
