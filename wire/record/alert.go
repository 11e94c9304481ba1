package record

import "strconv"

// Alert is why a connection ends (RFC 8446 section 6).
type Alert uint8

// The alerts that are sent here, and those that are not errors.
const (
	CloseNotify       Alert = 0
	UnexpectedMessage Alert = 10
	BadRecordMAC      Alert = 20
	RecordOverflow    Alert = 22
	IllegalParameter  Alert = 47
	DecodeError       Alert = 50
	InternalError     Alert = 80
	UserCanceled      Alert = 90
)

// alerts are the names of section 6.2.
var alerts = map[Alert]string{
	CloseNotify: "close_notify", UnexpectedMessage: "unexpected_message", BadRecordMAC: "bad_record_mac", RecordOverflow: "record_overflow",
	40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
	46: "certificate_unknown", IllegalParameter: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", DecodeError: "decode_error",
	51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", InternalError: "internal_error", 86: "inappropriate_fallback",
	UserCanceled: "user_canceled", 109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
	113: "bad_certificate_status_response", 115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
}

func (a Alert) String() string {
	if s := alerts[a]; s != "" {
		return s
	}
	return "alert " + strconv.Itoa(int(a))
}

func (a Alert) Error() string { return "tls: " + a.String() }

// Error is what the peer did wrong, and the alert that it gets.
type Error struct {
	Alert  Alert
	Reason string
}

func (e *Error) Error() string { return "tls: " + e.Reason + " (" + e.Alert.String() + ")" }

// AppendAlert appends an alert's content. Levels say nothing any more (section 6): those of errors are fatal.
func AppendAlert(b []byte, a Alert) []byte {
	const warning, fatal = 1, 2
	if a == CloseNotify || a == UserCanceled {
		return append(b, warning, byte(a))
	}
	return append(b, fatal, byte(a))
}

// ParseAlert reads an alert's content. One record has one alert (section 5.1).
func ParseAlert(content []byte) (Alert, error) {
	switch len(content) {
	case 2:
		return Alert(content[1]), nil
	case 0:
		return 0, &Error{UnexpectedMessage, "an alert without content"}
	}
	return 0, &Error{DecodeError, "an alert's length is not 2"}
}
