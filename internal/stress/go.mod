module github.com/crossmount/crossmount/internal/stress

go 1.25.0

replace github.com/crossmount/crossmount => ../..

require (
	github.com/google/go-containerregistry v0.22.1
	github.com/opencontainers/go-digest v1.0.0
)

require (
	github.com/klauspost/compress v1.19.2 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)
