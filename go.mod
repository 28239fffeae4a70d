module github.com/crossmount/crossmount

go 1.25.0

require (
	github.com/google/go-containerregistry v0.22.1
	github.com/opencontainers/go-digest v1.0.0
	golang.org/x/sync v0.22.0
)
