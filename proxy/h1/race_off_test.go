//go:build !race

package h1

const race = false
