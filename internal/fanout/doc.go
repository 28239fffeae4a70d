// Package fanout lets several parties that want the same content at about the
// same time share one reading of its source.
//
// The bytes pass through a window of bounded size, from which each party reads
// at its own pace. As long as the parties can keep pace, the source is opened
// once and read once. A party that cannot is kept from holding the others back
// for long: it opens the source again by itself and goes on from where it was.
// So does one that comes after the beginning has left the window, and each of
// those that share a source which breaks. What a party sees is the same in all
// cases: the content from its first byte to its last.
package fanout
