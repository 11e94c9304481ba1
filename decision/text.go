package decision

import (
	"fmt"
	"slices"
)

// The words of dialects, outcomes and reasons, as JSON has them.

// MarshalText implements encoding.TextMarshaler.
func (d Dialect) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Dialect) UnmarshalText(b []byte) (err error) {
	*d, err = word[Dialect](b, dialects[:])
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Outcome) UnmarshalText(b []byte) (err error) {
	*o, err = word[Outcome](b, outcomes[:])
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Reason) UnmarshalText(b []byte) (err error) {
	*r, err = word[Reason](b, reasons[:])
	return err
}

func word[T ~uint8](b []byte, words []string) (T, error) {
	i := slices.Index(words, string(b))
	if i < 0 {
		return 0, fmt.Errorf("decision: %q is none of %q", b, words)
	}
	return T(i), nil
}
