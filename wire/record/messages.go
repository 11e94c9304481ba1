package record

// Messages reads the content of handshake records after the handshake: tickets, which are passed over, and KeyUpdate (RFC 8446 section 4.6).
// It holds no more than the begin of a message. The zero value is ready.
type Messages struct {
	head [4]byte
	have int // of head
	left int // of the message's body
}

// Update is what the peer's KeyUpdate asks for.
type Update uint8

// What a record has brought.
const (
	NoUpdate        Update = iota
	Updated                // what the peer sends from now on is protected by its next key
	UpdateRequested        // and it wants the same of us, before our next application data
)

const (
	newSessionTicket = 4
	keyUpdate        = 24
	maxTicket        = 4 + 4 + 1 + 255 + 2 + 1<<16 + 2 + 1<<16 // section 4.6.1
)

// Partial says that a message has begun and not ended: the next record has to go on with it (section 5.1).
func (m *Messages) Partial() bool { return m.have > 0 }

// Read takes the content of a record that client or server has got. KeyUpdate is the last message of its record: what follows has another key.
func (m *Messages) Read(content []byte, client bool) (Update, error) {
	if len(content) == 0 { // section 5.1
		return NoUpdate, &Error{UnexpectedMessage, "a handshake record without content"}
	}
	for len(content) > 0 {
		if m.have < len(m.head) {
			n := copy(m.head[m.have:], content)
			m.have, content = m.have+n, content[n:]
			if m.have < len(m.head) {
				break
			}
			if err := m.begin(client); err != nil {
				return NoUpdate, err
			}
			continue
		}
		if m.head[0] == keyUpdate {
			m.have = 0
			return parseKeyUpdate(content)
		}
		n := min(m.left, len(content))
		m.left, content = m.left-n, content[n:]
		if m.left == 0 {
			m.have = 0
		}
	}
	return NoUpdate, nil
}

// begin judges a message by its header.
func (m *Messages) begin(client bool) error {
	m.left = int(m.head[1])<<16 | int(m.head[2])<<8 | int(m.head[3])
	switch {
	case m.head[0] == newSessionTicket && client:
		if m.left == 0 || m.left > maxTicket {
			return &Error{DecodeError, "a ticket of a length that none has"}
		}
	case m.head[0] == keyUpdate:
		if m.left != 1 {
			return &Error{DecodeError, "a KeyUpdate's length is not 1"}
		}
	default: // section 4.6.2 too: we have not offered post_handshake_auth
		return &Error{UnexpectedMessage, "a handshake message after the handshake"}
	}
	return nil
}

// parseKeyUpdate reads the message's body, and whatever comes after it in its record.
func parseKeyUpdate(b []byte) (Update, error) {
	switch {
	case len(b) > 1: // "Handshake messages MUST NOT span key changes" (section 5.1)
		return NoUpdate, &Error{UnexpectedMessage, "a message after a KeyUpdate in one record"}
	case b[0] > 1: // section 4.6.3
		return NoUpdate, &Error{IllegalParameter, "a KeyUpdate asks for what does not exist"}
	case b[0] == 1:
		return UpdateRequested, nil
	}
	return Updated, nil
}

// AppendKeyUpdate appends a KeyUpdate that wants nothing of the peer.
func AppendKeyUpdate(b []byte) []byte { return append(b, keyUpdate, 0, 0, 1, 0) }
