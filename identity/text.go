package identity

// MarshalText implements encoding.TextMarshaler: JSON has the URI.
func (i ID) MarshalText() ([]byte, error) { return i.MarshalBinary() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *ID) UnmarshalText(b []byte) error { return i.UnmarshalBinary(b) }
