//go:build !race

package authz

const race = false
