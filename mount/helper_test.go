package mount

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// dig returns the digest of blob number n.
func dig(n int) digest.Digest { return digest.FromString(fmt.Sprint("blob ", n)) }
