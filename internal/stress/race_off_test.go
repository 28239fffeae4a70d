//go:build !race

package stress_test

// raceEnabled says that the race detector is built in.
const raceEnabled = false
