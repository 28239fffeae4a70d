//go:build !race

package push

// raceEnabled says that the race detector is on, which takes time and memory.
const raceEnabled = false
