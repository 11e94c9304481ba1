package metrics

import "unsafe"

// lend makes a string of bytes that will change, as a codec does.
func lend(b []byte) string { return unsafe.String(&b[0], len(b)) }
