package gateway

import (
	"bytes"
	"time"
)

// Failures are why the objects of gateways could not be applied, by gateway. They are tried again after a pause that doubles, as long as what they
// are to be is the same: who writes many Gateways that cannot run would have all others wait for the requests that these take.
type Failures map[string]failure

type failure struct {
	text  []byte
	err   error
	pause time.Duration
	until time.Time
}

// Pauses before a gateway's objects are applied again.
const (
	FirstPause = time.Second
	LastPause  = 30 * time.Second
)

// Waits is why a gateway's objects, which are to be text, are not to be tried now; nil: they are.
func (f Failures) Waits(key string, text []byte, now time.Time) error {
	if x := f[key]; now.Before(x.until) && bytes.Equal(x.text, text) {
		return x.err
	}
	return nil
}

// Note takes note of how it went.
func (f Failures) Note(key string, text []byte, err error, now time.Time) {
	if err == nil {
		delete(f, key)
		return
	}
	x := f[key]
	if x.pause = min(2*x.pause, LastPause); !bytes.Equal(x.text, text) {
		x.pause = FirstPause
	}
	f[key] = failure{text, err, x.pause, now.Add(x.pause)}
}
