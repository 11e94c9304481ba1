// Package echo is a test application that answers with what it was asked, in every protocol that a mesh carries:
// HTTP/1.1 and HTTP/2 in the clear with WebSocket upgrades on one port, plain TCP on a second, gRPC on a third.
//
// Each answer names the instance that gave it. The package also holds the calling side of its gRPC service, for tests.
// It promises to finish every call that it accepted when it is asked to end.
package echo
