package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// identity tells credentials apart without holding them: a hash of all their fields.
type identity [sha256.Size]byte

// credential is what a keychain gave for a repository.
type credential struct {
	config authn.AuthConfig
	id     identity
}

func newCredential(config authn.AuthConfig) credential {
	hash := sha256.New()
	for _, field := range []string{config.Username, config.Password, config.Auth, config.IdentityToken, config.RegistryToken} {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		hash.Write([]byte(field))
	}
	c := credential{config: config}
	hash.Sum(c.id[:0])
	return c
}

// basic returns the value of a header for the Basic scheme (RFC 7617), "" for a credential that has no
// password.
func (c credential) basic() string {
	if c.config.Username != "" && c.config.Password != "" {
		pair := c.config.Username + ":" + c.config.Password
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	}
	if c.config.Auth != "" {
		return "Basic " + c.config.Auth
	}
	return ""
}

// header returns the header that the credential gives without a token server, "" when there is none. A
// registry token is used as it is, under either scheme.
func (c credential) header() string {
	if c.config.RegistryToken != "" {
		return "Bearer " + c.config.RegistryToken
	}
	return c.basic()
}

// credential returns the credential for target: the one remembered, else what the keychain says now.
func (h *Host) credential(ctx context.Context, target name.Repository) (credential, error) {
	if target != (name.Repository{}) && target.RegistryStr() != h.config.Registry.RegistryStr() {
		// A keychain would give the credential of the other registry.
		return credential{}, h.fail("credential", errWrongHost)
	}
	key := repositoryOf(target)
	if c, ok := h.memory.credential(key); ok {
		return c, nil
	}
	c, err := h.lookups.Do(ctx, key, func(ctx context.Context) (credential, error) {
		if c, ok := h.memory.credential(key); ok {
			return c, nil // another caller was a moment earlier
		}
		c, err := h.resolve(ctx, target)
		if err == nil {
			h.memory.keepCredential(key, c)
		}
		return c, err
	})
	if err != nil {
		return credential{}, h.fail("credential", err)
	}
	return c, nil
}

// renew looks the credential of target up anew after it was refused, unless that was done only just now. It
// is of use only if stale is not true of what it returns.
func (h *Host) renew(ctx context.Context, target name.Repository, stale func(credential) bool) (credential, bool, error) {
	if !h.memory.forgetCredential(repositoryOf(target), stale, h.config.Now()) {
		return credential{}, false, nil
	}
	c, err := h.credential(ctx, target)
	return c, err == nil && !stale(c), err
}

// repositoryOf returns the name of target without its registry, "" for none.
func repositoryOf(target name.Repository) string {
	if target == (name.Repository{}) {
		return ""
	}
	return target.RepositoryStr()
}

// resolve asks the keychain, which may run a helper program or go to the network.
func (h *Host) resolve(ctx context.Context, target name.Repository) (credential, error) {
	if h.config.Keychain == nil {
		return newCredential(authn.AuthConfig{}), nil
	}
	var resource authn.Resource = target
	if target == (name.Repository{}) {
		resource = h.config.Registry
	}
	authenticator, err := authn.Resolve(ctx, h.config.Keychain, resource)
	if err != nil {
		return credential{}, err
	}
	config, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return credential{}, err
	}
	return newCredential(*cmp.Or(config, &authn.AuthConfig{})), nil
}
