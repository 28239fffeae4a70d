package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/crossmount/crossmount/mount"
)

// sighting is one line of the model: a list of where blobs were seen, oldest
// first, as simple as can be.
type sighting struct {
	host, repository string
	digest           digest.Digest
	at               time.Time
}

type model []sighting

func (m *model) forget(host, repository string, d digest.Digest) {
	*m = slices.DeleteFunc(*m, func(s sighting) bool {
		return s.host == host && s.repository == repository && s.digest == d
	})
}

func (m *model) see(host, repository string, d digest.Digest, at time.Time) {
	m.forget(host, repository, d)
	*m = append(*m, sighting{host, repository, d, at})
	count := 0
	for i := len(*m) - 1; i >= 0; i-- {
		if s := (*m)[i]; s.host == host && s.digest == d {
			if count++; count > maxPlaces {
				*m = slices.Delete(*m, i, i+1)
			}
		}
	}
}

func (m model) holds(host, repository string, d digest.Digest, now time.Time) bool {
	return slices.ContainsFunc(m, func(s sighting) bool {
		return s.host == host && s.repository == repository && s.digest == d && now.Sub(s.at) < expiry
	})
}

// FuzzLedger runs a script of records against the ledger and the model. Each
// step is three bytes: what happens, to which blob on which host, in which
// repository.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 1, 2, 0, 0})
	f.Add([]byte{0, 0, 0, 4, 200, 0, 0, 0, 1, 4, 100, 0, 3, 0, 1})
	var crowd []byte
	for i := range byte(12) {
		crowd = append(crowd, 0, 0, i, 1, 1, i)
	}
	f.Add(crowd)
	hosts := []string{"registry.example", host5000}
	const digests, repositories = 3, 12
	f.Fuzz(func(t *testing.T, script []byte) {
		c := newClock()
		l := Ledger{Now: c.now}
		var m model
		for ; len(script) >= 3; script = script[3:] {
			name, d, r := hosts[script[1]%2], blob(int(script[1]/2)%digests), repo(int(script[2])%repositories)
			switch script[0] % 5 {
			case 0:
				l.Record(name, r, mount.InTarget(d, mount.Placed))
				m.see(name, r, d, c.at)
			case 1:
				l.Record(name, "target", mount.At(d, r, mount.Confirmed))
				m.see(name, r, d, c.at)
			case 2:
				l.Record(name, r, mount.InTarget(d, mount.Absent))
				m.forget(name, r, d)
			case 3:
				l.Record(name, "target", gone(d, r))
				m.forget(name, r, d)
			case 4:
				c.at = c.at.Add(time.Duration(script[1]) * expiry / 256)
			}
		}
		for _, name := range hosts {
			e := l.Evidence(name, "target", blobs(0, 1, 2))
			for i := range digests {
				for j := range repositories {
					want := mount.NoBelief
					if m.holds(name, repo(j), blob(i), c.at) {
						want = mount.Remembered
					}
					believed(t, e, blob(i), repo(j), want)
				}
			}
		}
	})
}
