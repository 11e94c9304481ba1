package http2

import "encoding/binary"

// SettingID names a setting (RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1).
type SettingID uint16

const (
	SettingHeaderTableSize      SettingID = 0x1
	SettingEnablePush           SettingID = 0x2
	SettingMaxConcurrentStreams SettingID = 0x3
	SettingInitialWindowSize    SettingID = 0x4
	SettingMaxFrameSize         SettingID = 0x5
	SettingMaxHeaderListSize    SettingID = 0x6
	SettingEnableConnect        SettingID = 0x8
	SettingNoPriorities         SettingID = 0x9
)

// Setting is one entry of a SETTINGS frame.
type Setting struct {
	ID    SettingID
	Value uint32
}

const settingLen = 6

// Settings tells the peer what its sender can take (RFC 9113 section 6.5).
type Settings struct {
	Ack bool
	raw []byte
}

// ParseSettings checks the frame and each value that section 6.5.2 bounds.
func ParseSettings(h FrameHeader, p []byte) (Settings, error) {
	f := Settings{h.Flags.Has(FlagAck), p}
	switch {
	case h.Stream != 0:
		return f, connError(ProtocolError, "SETTINGS on a stream")
	case f.Ack && len(p) > 0:
		return f, connError(FrameSizeError, "SETTINGS acknowledgement with a payload")
	case len(p)%settingLen != 0:
		return f, connError(FrameSizeError, "SETTINGS is not a multiple of 6 bytes long")
	}
	for s := range f.All {
		if err := s.check(); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (s Setting) check() error {
	switch s.ID {
	case SettingEnablePush, SettingEnableConnect, SettingNoPriorities:
		if s.Value > 1 {
			return connError(ProtocolError, "a boolean setting is neither 0 nor 1")
		}
	case SettingInitialWindowSize:
		if s.Value > MaxWindow {
			return connError(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1")
		}
	case SettingMaxFrameSize:
		if s.Value < DefaultFrameSize || s.Value > MaxFrameSize {
			return connError(ProtocolError, "SETTINGS_MAX_FRAME_SIZE out of range")
		}
	}
	return nil
}

// Len is the number of settings.
func (f Settings) Len() int { return len(f.raw) / settingLen }

// All yields the settings in order, which is the order in which they take effect.
func (f Settings) All(yield func(Setting) bool) {
	for p := f.raw; len(p) >= settingLen; p = p[settingLen:] {
		s := Setting{SettingID(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])}
		if !yield(s) {
			return
		}
	}
}

// AppendSettings writes a SETTINGS frame.
func AppendSettings(b []byte, list ...Setting) []byte {
	b = FrameHeader{uint32(len(list) * settingLen), TypeSettings, 0, 0}.Append(b)
	for _, s := range list {
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID))
		b = binary.BigEndian.AppendUint32(b, s.Value)
	}
	return b
}

// AppendSettingsAck writes an acknowledgement.
func AppendSettingsAck(b []byte) []byte { return FrameHeader{0, TypeSettings, FlagAck, 0}.Append(b) }
