//go:build race

package embedded

// underRace says that the race detector is on: the model then computes twenty
// times as slowly.
const underRace = true
