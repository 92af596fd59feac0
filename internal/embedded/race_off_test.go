//go:build !race

package embedded

const underRace = false
