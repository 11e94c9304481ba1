package files

import "time"

// Slow is between looks that nothing asked for.
const Slow = slow

// Pace has the source wait as after says.
func (f *Files) Pace(after func(time.Duration) <-chan time.Time) { f.after = after }
