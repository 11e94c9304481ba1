package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/internal/sys"
)

// framed is a message's body as it travels.
func framed(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// FuzzMessage: whatever the other end writes, it is read or refused, and no descriptor stays; what was read travels again as it is.
func FuzzMessage(f *testing.F) {
	for _, m := range []message{
		{Setup: &Spec{}}, {Start: &Command{Args: []string{"a", "b"}, Env: []string{"A=1"}, Dir: "/"}}, {Signal: syscall.SIGTERM},
		{Ready: &ready{Doors: [3]int{1, 2, 3}, Limits: []string{"no netlink"}}}, {Failed: &setupError{"mount", "no", syscall.EPERM}}, {Started: true}, {Exited: &Exit{}},
	} {
		body, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(framed(string(body)))
	}
	f.Add([]byte{})
	f.Add([]byte{0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(framed(`{"Ready":{"Doors":[-1,9223372036854775807,1]}}`))
	f.Add(framed(`{"Setup":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := hears(t, b)
		if err != nil {
			return
		}
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := hears(t, framed(string(body)))
		if err != nil {
			t.Fatalf("%s is not read again: %v", body, err)
		}
		if same, err := json.Marshal(again); err != nil || !bytes.Equal(same, body) {
			t.Fatalf("%s, and then %s (%v)", body, same, err)
		}
	})
}

// hears reads a message of somebody who writes b and is gone.
func hears(t *testing.T, b []byte) (message, error) {
	ours, theirs, err := sys.StreamPair("message")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	peer, err := sys.UnixConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = peer.Write(b)
		peer.Close()
	}()
	m, files, err := receive(ours)
	for _, f := range files {
		f.Close()
	}
	return m, err
}
