//go:build race

package memory

// raceEnabled says that the race detector is built in.
const raceEnabled = true
