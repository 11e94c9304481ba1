package http2

// RefusePush is the answer to a PUSH_PROMISE: no side of ours enables push, so it is a connection error
// (RFC 9113 sections 6.6 and 8.4).
func RefusePush(FrameHeader) error {
	return connError(ProtocolError, "PUSH_PROMISE although push is disabled")
}
