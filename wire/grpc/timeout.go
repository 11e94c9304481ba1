package grpc

import (
	"strconv"
	"time"
)

const maxDigits = 8 // "TimeoutValue → {positive integer as ASCII string of at most 8 digits}"

var units = [...]struct {
	letter byte
	length time.Duration
}{{'n', time.Nanosecond}, {'u', time.Microsecond}, {'m', time.Millisecond}, {'S', time.Second}, {'M', time.Minute}, {'H', time.Hour}}

// ParseTimeout reads a grpc-timeout. What is too long for a time.Duration becomes the longest one.
func ParseTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > maxDigits+1 {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) - 1 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	for _, u := range units {
		if u.letter == s[len(s)-1] {
			if n > int64(1<<63-1)/int64(u.length) {
				return 1<<63 - 1, true
			}
			return time.Duration(n) * u.length, true
		}
	}
	return 0, false
}

// AppendTimeout writes a grpc-timeout in the finest unit that fits, rounded up: the callee must not give up before the caller
// does. A duration that has passed becomes the shortest timeout.
func AppendTimeout(b []byte, d time.Duration) []byte {
	d = max(d, 1)
	for _, u := range units {
		n := int64(d) / int64(u.length)
		if int64(d)%int64(u.length) > 0 {
			n++
		}
		if n < 1e8 {
			return append(strconv.AppendInt(b, n, 10), u.letter)
		}
	}
	return append(b, "99999999H"...)
}
