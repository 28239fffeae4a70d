// Package layers has no code of its own: its tests hold the module to its
// house rules. They check which package may import which, what the module
// requires, and how its source is written.
package layers
