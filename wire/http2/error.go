package http2

import (
	"fmt"
	"strconv"
)

// ErrCode is the code that RST_STREAM and GOAWAY carry (RFC 9113 section 7).
type ErrCode uint32

const (
	NoError            ErrCode = 0x0
	ProtocolError      ErrCode = 0x1
	InternalError      ErrCode = 0x2
	FlowControlError   ErrCode = 0x3
	SettingsTimeout    ErrCode = 0x4
	StreamClosed       ErrCode = 0x5
	FrameSizeError     ErrCode = 0x6
	RefusedStream      ErrCode = 0x7
	Cancel             ErrCode = 0x8
	CompressionError   ErrCode = 0x9
	ConnectError       ErrCode = 0xa
	EnhanceYourCalm    ErrCode = 0xb
	InadequateSecurity ErrCode = 0xc
	HTTP11Required     ErrCode = 0xd
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
	"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

func (c ErrCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "error code 0x" + strconv.FormatUint(uint64(c), 16)
}

// Error is a breach of the protocol: of the connection if Stream is 0 (RFC 9113 section 5.4.1), else of that stream alone
// (section 5.4.2).
type Error struct {
	Stream uint32
	Code   ErrCode
	Reason string
}

func (e *Error) Error() string {
	if e.Stream == 0 {
		return fmt.Sprintf("http/2 connection error %v: %s", e.Code, e.Reason)
	}
	return fmt.Sprintf("http/2 stream %d error %v: %s", e.Stream, e.Code, e.Reason)
}

func connError(code ErrCode, reason string) error { return &Error{Code: code, Reason: reason} }

func streamError(stream uint32, code ErrCode, reason string) error {
	return &Error{Stream: stream, Code: code, Reason: reason}
}
