package http1

// Error is a message that breaks the protocol or a limit.
type Error struct {
	Status int    // what answers a request like that; a response like that is a 502
	Reason string // what is wrong
	Rule   string // where that is written
}

func (e *Error) Error() string { return "http1: " + e.Reason + " (" + e.Rule + ")" }

// What a message can break. Each is a value of its own, so that a test or a counter can tell them apart.
var (
	ErrBareLF  = &Error{400, "a line ends with LF alone", "RFC 9112 section 2.2"}
	ErrBareCR  = &Error{400, "CR without LF", "RFC 9112 section 2.2"}
	ErrControl = &Error{400, "a control character in a field value", "RFC 9110 section 5.5"}
	ErrFold    = &Error{400, "a line begins with white space: a folded line, or space before the first field", "RFC 9112 sections 2.2 and 5.2"}
	ErrColon   = &Error{400, "white space between field name and colon", "RFC 9112 section 5.1"}
	ErrName    = &Error{400, "the field name is not a token", "RFC 9110 section 5.1"}
	ErrCut     = &Error{400, "the head ends in the middle of a line", "RFC 9112 section 2.1"}

	ErrLineLimit  = &Error{414, "the request line is too long", "RFC 9112 section 3"}
	ErrHeadLimit  = &Error{431, "the header fields are too large", "RFC 6585 section 5"}
	ErrFieldLimit = &Error{431, "there are too many header fields", "RFC 6585 section 5"}

	ErrMethod    = &Error{400, "the method is not a token", "RFC 9112 section 3.1"}
	ErrTarget    = &Error{400, "the request target is not valid", "RFC 9112 section 3.2"}
	ErrForm      = &Error{400, "the form of the request target does not go with the method", "RFC 9112 section 3.2"}
	ErrAuthority = &Error{400, "the authority of the request target is not valid", "RFC 9110 section 4.2"}
	ErrLine      = &Error{400, "the start line is malformed", "RFC 9112 section 3"}
	ErrVersion   = &Error{505, "the major version is not 1", "RFC 9110 section 15.6.6"}
	ErrNoHost    = &Error{400, "no Host field", "RFC 9112 section 3.2"}
	ErrTwoHosts  = &Error{400, "more than one Host field", "RFC 9112 section 3.2"}
	ErrHost      = &Error{400, "the Host field is not a host with an optional port", "RFC 9110 section 7.2"}
	ErrUnsecured = &Error{421, "an https target that came in the clear", "RFC 9110 section 7.4"}
	ErrExpect    = &Error{417, "an expectation other than 100-continue", "RFC 9110 section 10.1.1"}

	ErrLength      = &Error{400, "the Content-Length is not a number that fits", "RFC 9110 section 8.6"}
	ErrTwoLengths  = &Error{400, "more than one Content-Length", "RFC 9112 section 6.3"}
	ErrBothLengths = &Error{400, "Content-Length beside Transfer-Encoding", "RFC 9112 section 6.1"}
	ErrCoding      = &Error{400, "the last transfer coding is not chunked, or chunked comes twice", "RFC 9112 section 6.3"}
	ErrOtherCoding = &Error{501, "a transfer coding other than chunked", "RFC 9112 section 6.1"}
	ErrCodingIn10  = &Error{400, "Transfer-Encoding in an HTTP/1.0 message", "RFC 9112 section 6.1"}
	ErrConnectBody = &Error{400, "CONNECT with a body", "RFC 9110 section 9.3.6"}
	ErrStatus      = &Error{502, "the status line is malformed", "RFC 9112 section 4"}
	ErrUnasked     = &Error{502, "101 to a request that did not ask for that upgrade", "RFC 9110 section 7.8"}
	ErrChunkSize   = &Error{400, "the chunk size is not a hexadecimal number that fits", "RFC 9112 section 7.1"}
	ErrChunkEnd    = &Error{400, "the chunk does not end where its size says", "RFC 9112 section 7.1"}
	ErrExtension   = &Error{400, "the chunk extension is malformed", "RFC 9112 section 7.1.1"}
	ErrExtensions  = &Error{400, "the chunk extensions are too large", "RFC 9112 section 7.1.1"}
	ErrTruncated   = &Error{400, "the connection was closed in the middle of the body", "RFC 9112 section 8"}
)
