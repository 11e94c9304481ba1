// Package run tests weft up and weft run as a user has them: real processes in real sandboxes, started, called, killed and looked
// for afterwards. It builds the programs once; the applications that it runs in the mesh are the test's own binary.
package run
