package cert

import (
	"bytes"
	"strings"
	"testing"
)

// TestSecrets: what crypto/tls writes is read, and nothing of it stays but what is wanted, nor that once it is given up.
func TestSecrets(t *testing.T) {
	var s secrets
	for _, label := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
		line := []byte(label + " " + strings.Repeat("ab", 32) + " " + strings.Repeat("0c", 32) + "\n")
		if n, err := s.Write(line); n != len(line) || err != nil {
			t.Errorf("%s: %d, %v", label, n, err)
		}
		if !bytes.Equal(line, make([]byte, len(line))) {
			t.Errorf("%s: the line is still there", label)
		}
	}
	want := bytes.Repeat([]byte{0x0c}, 32)
	if !bytes.Equal(s.client[:s.clientLen], want) || !bytes.Equal(s.server[:s.serverLen], want) {
		t.Errorf("%x, %x", s.client, s.server)
	}
	if s.forget(); s != (secrets{}) {
		t.Error("something is left")
	}
	for _, line := range []string{"", "CLIENT_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0 ab xy", "SERVER_TRAFFIC_SECRET_0 ab " + strings.Repeat("00", maxSecret+1)} {
		if _, err := s.Write([]byte(line)); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}
