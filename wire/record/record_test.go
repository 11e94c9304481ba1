package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// all are the cipher suites, and how long their secrets are.
var all = map[uint16]int{0x1301: 32, 0x1302: 48, 0x1303: 32}

func newKey(t testing.TB, id uint16) *Key {
	t.Helper()
	k := new(Key)
	if err := k.Init(id, bytes.Repeat([]byte{7}, all[id])); err != nil {
		t.Fatal(err)
	}
	return k
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seal seals content with so many zeros of padding.
func seal(t testing.TB, k *Key, typ byte, content string, padding int) []byte {
	t.Helper()
	if err := k.ready(); err != nil {
		t.Fatal(err)
	}
	plain := append(append([]byte(content), typ), make([]byte, padding)...)
	if typ == 0 {
		plain = make([]byte, padding)
	}
	n := len(plain) + tagLen
	head := []byte{Application, 3, 3, byte(n >> 8), byte(n)}
	return k.aead.Seal(head, k.nonce[:], plain, head)
}

// TestRFC8448: the records of section 3 of RFC 8448, "Simple 1-RTT Handshake".
func TestRFC8448(t *testing.T) {
	content := make([]byte, 50)
	for i := range content {
		content[i] = byte(i)
	}
	for _, side := range []struct {
		name, secret, key, iv, data, alert string
		first                              uint64 // the server has sent a ticket before
	}{
		{"client", "9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5",
			"17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51", "5b 78 92 3d ee 08 57 90 33 e5 23 d9",
			`17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a
 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4`,
			"17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3", 0},
		{"server", "a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43",
			"9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56", "cf 78 2b 88 dd 83 54 9a ad f1 e9 84",
			`17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb
 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d`,
			"17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9", 1},
	} {
		t.Run(side.name, func(t *testing.T) {
			clean := func(s string) []byte { return unhex(t, strings.ReplaceAll(s, "\n", "")) }
			var sealer, opener Key
			if err := errors.Join(sealer.Init(0x1301, clean(side.secret)), opener.Init(0x1301, clean(side.secret))); err != nil {
				t.Fatal(err)
			}
			sealer.seq, opener.seq = side.first, side.first
			if key, err := sealer.label("key", 16); err != nil || !bytes.Equal(key, clean(side.key)) || !bytes.Equal(sealer.iv[:], clean(side.iv)) {
				t.Errorf("key %x, iv %x (%v)", key, sealer.iv, err)
			}
			for _, x := range []struct {
				typ     byte
				content []byte
				record  []byte
			}{{Application, content, clean(side.data)}, {AlertType, AppendAlert(nil, CloseNotify), clean(side.alert)}} {
				if got, err := sealer.Seal(nil, x.typ, x.content); err != nil || !bytes.Equal(got, x.record) {
					t.Errorf("sealed: %x (%v)", got, err)
				}
				if n, err := Size(x.record); n != len(x.record) || err != nil {
					t.Errorf("size %d (%v)", n, err)
				}
				if typ, got, err := opener.Open(x.record); typ != x.typ || err != nil || !bytes.Equal(got, x.content) {
					t.Errorf("opened: type %d, %x (%v)", typ, got, err)
				}
			}
		})
	}
}

// TestRoundTrip: contents of all sizes, in several records of one buffer, with a KeyUpdate and a rest in between.
func TestRoundTrip(t *testing.T) {
	for id := range all {
		out, in := newKey(t, id), newKey(t, id)
		for round, n := range []int{0, 1, 15, 16, 17, 1000, MaxContent - 1, MaxContent} {
			content := bytes.Repeat([]byte{byte(n)}, n)
			first, err := out.Seal(nil, Application, content)
			if err != nil || len(first) != n+Overhead {
				t.Fatalf("%v: a record of %d bytes for %d of content (%v)", out, len(first), n, err)
			}
			both, err := out.Seal(first, AlertType, content)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []byte{Application, AlertType} {
				size, err := Size(both)
				if err != nil || size != n+Overhead {
					t.Fatalf("size %d (%v)", size, err)
				}
				typ, got, err := in.Open(both[:size])
				if typ != want || err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%v: type %d, %d bytes (%v)", in, typ, len(got), err)
				}
				both = both[size:]
			}
			switch round {
			case 2, 5:
				before := out.secret
				if out.Update() != nil || in.Update() != nil || out.secret == before || out.seq != 0 {
					t.Fatal("the secret or the number of the next record did not change")
				}
			case 3:
				out.Rest()
				in.Rest()
			}
		}
	}
}

// TestOpenRefuses: whatever is not exactly the record that comes next gets the alert that RFC 8446 names.
func TestOpenRefuses(t *testing.T) {
	changed := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	for name, x := range map[string]struct {
		make  func(k *Key) []byte
		alert Alert
	}{
		"another content":   {func(k *Key) []byte { return changed(7)(seal(t, k, Application, "hello", 0)) }, BadRecordMAC},
		"another tag":       {func(k *Key) []byte { return changed(-1)(seal(t, k, Application, "hello", 0)) }, BadRecordMAC},
		"another version":   {func(k *Key) []byte { return changed(1)(seal(t, k, Application, "hello", 0)) }, BadRecordMAC}, // it is authenticated
		"a shorter record":  {func(k *Key) []byte { b := seal(t, k, Application, "hello", 0); b[4]--; return b[:len(b)-1] }, BadRecordMAC},
		"no room for a tag": {func(k *Key) []byte { return []byte{Application, 3, 3, 0, 3, 1, 2, 3} }, BadRecordMAC},
		"no bytes":          {func(k *Key) []byte { return []byte{Application, 3, 3, 0, 0} }, BadRecordMAC},
		"a record twice":    {func(k *Key) []byte { k.seq++; return seal(t, k, Application, "hello", 0) }, BadRecordMAC},
		"another key":       {func(k *Key) []byte { _ = k.Update(); return seal(t, k, Application, "hello", 0) }, BadRecordMAC},
		"nothing":           {func(k *Key) []byte { return seal(t, k, 0, "", 0) }, UnexpectedMessage},
		"padding alone":     {func(k *Key) []byte { return seal(t, k, 0, "", 40) }, UnexpectedMessage},
		"too much content":  {func(k *Key) []byte { return seal(t, k, Application, strings.Repeat("x", MaxContent+1), 0) }, RecordOverflow},
		"too much padding":  {func(k *Key) []byte { return seal(t, k, Application, "x", MaxContent) }, RecordOverflow},
	} {
		for id := range all {
			k, in := newKey(t, id), newKey(t, id)
			record := x.make(k)
			if n, err := Size(record); n != len(record) || err != nil {
				t.Fatalf("%s: size %d of %d (%v)", name, n, len(record), err)
			}
			_, content, err := in.Open(record)
			if e := (*Error)(nil); !errors.As(err, &e) || e.Alert != x.alert || content != nil {
				t.Errorf("%s: %v: %q, %v, want %v", name, in, content, err, x.alert)
			}
		}
	}
}

func TestPadding(t *testing.T) {
	for id := range all {
		out, in := newKey(t, id), newKey(t, id)
		for _, n := range []int{1, 255, MaxContent - 5} {
			if typ, got, err := in.Open(seal(t, out, Application, "hello", n)); typ != Application || string(got) != "hello" || err != nil {
				t.Errorf("%v: with %d of padding: type %d, %q, %v", in, n, typ, got, err)
			}
		}
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		head  string
		n     int
		alert Alert
	}{
		{"", 0, 0}, {"17 03 03 40", 0, 0}, {"17 03 03 00 00", 5, 0}, {"17 03 03 41 00", MaxLen, 0}, {"17 00 00 00 11", 22, 0},
		{"17 03 03 41 01", 0, RecordOverflow}, {"17 03 03 ff ff", 0, RecordOverflow},
		{"15 03 03 00 02", 0, UnexpectedMessage}, {"16 03 03 00 20", 0, UnexpectedMessage}, {"14 03 03 00 01", 0, UnexpectedMessage},
		{"18 03 03 00 01", 0, UnexpectedMessage}, {"47 45 54 20 2f", 0, UnexpectedMessage},
	} {
		n, err := Size(unhex(t, c.head))
		if e := (*Error)(nil); n != c.n || (c.alert != 0) != errors.As(err, &e) || e != nil && e.Alert != c.alert {
			t.Errorf("%s: %d, %v", c.head, n, err)
		}
	}
}

// TestMessages: what may come after the handshake, in records that part it anywhere.
func TestMessages(t *testing.T) {
	ticket := "04 00 00 0d" + "00 00 00 01 00 00 00 02 00 00 01 ff 00" // its content is not looked at
	for _, c := range []struct {
		name    string
		records []string
		server  bool
		update  Update
		alert   Alert
	}{
		{name: "a KeyUpdate", records: []string{"18 00 00 01 00"}, update: Updated},
		{name: "a KeyUpdate that wants one", records: []string{"18 00 00 01 01"}, server: true, update: UpdateRequested},
		{name: "in pieces", records: []string{"18", "00 00", "01", "01"}, update: UpdateRequested},
		{name: "a ticket", records: []string{ticket}},
		{name: "two tickets, and the begin of a KeyUpdate", records: []string{ticket + ticket + "18 00 00 01", "00"}, update: Updated},
		{name: "a ticket and a KeyUpdate", records: []string{ticket + "18 00 00 01 00"}, update: Updated},
		{name: "a ticket for a server", records: []string{ticket}, server: true, alert: UnexpectedMessage},
		{name: "nothing", records: []string{""}, alert: UnexpectedMessage},
		{name: "nothing in the middle", records: []string{"18 00", ""}, alert: UnexpectedMessage},
		{name: "a value that is none", records: []string{"18 00 00 01 02"}, alert: IllegalParameter},
		{name: "an empty KeyUpdate", records: []string{"18 00 00 00"}, alert: DecodeError},
		{name: "a long KeyUpdate", records: []string{"18 00 00 02 00 00"}, alert: DecodeError},
		{name: "a message after a KeyUpdate", records: []string{"18 00 00 01 00" + ticket}, alert: UnexpectedMessage},
		{name: "the begin of one", records: []string{"18 00 00 01 00 04"}, alert: UnexpectedMessage},
		{name: "an endless ticket", records: []string{"04 ff ff ff"}, alert: DecodeError},
		{name: "an empty ticket", records: []string{"04 00 00 00"}, alert: DecodeError},
		{name: "a request for a certificate", records: []string{"0d 00 00 03 00 00 00"}, alert: UnexpectedMessage},
		{name: "a hello", records: []string{"01 00 00 03 00 00 00"}, server: true, alert: UnexpectedMessage},
		{name: "Finished", records: []string{"14 00 00 20"}, alert: UnexpectedMessage},
	} {
		var m Messages
		var update Update
		var err error
		for i, r := range c.records {
			if i > 0 && !m.Partial() {
				t.Errorf("%s: no message has begun before record %d", c.name, i)
			}
			if update, err = m.Read(unhex(t, r), !c.server); err != nil {
				break
			}
		}
		e := (*Error)(nil)
		if update != c.update || (c.alert != 0) != errors.As(err, &e) || e != nil && e.Alert != c.alert || err == nil && m.Partial() {
			t.Errorf("%s: %d, %v; partial %v", c.name, update, err, m.Partial())
		}
	}
	if m := (&Messages{}); true {
		if u, err := m.Read(AppendKeyUpdate(nil), true); u != Updated || err != nil {
			t.Errorf("our own: %d, %v", u, err)
		}
	}
}

func TestAlerts(t *testing.T) {
	for content, want := range map[string]any{"\x01\x00": CloseNotify, "\x02\x14": BadRecordMAC, "\x00\x99": Alert(0x99),
		"": UnexpectedMessage, "\x02": DecodeError, "\x02\x14\x02\x14": DecodeError} {
		a, err := ParseAlert([]byte(content))
		if e := (*Error)(nil); errors.As(err, &e) {
			a = e.Alert
		} else if string(AppendAlert(nil, a)[1:]) != content[1:] {
			t.Errorf("%v is written as %x", a, AppendAlert(nil, a))
		}
		if a != want {
			t.Errorf("%x: %v, %v", content, a, err)
		}
	}
	if got := fmt.Sprint(BadRecordMAC, Alert(200)); got != "tls: bad_record_mac tls: alert 200" {
		t.Error(got)
	}
}

// TestNoSecretIsShown: no way of printing a key prints a secret, and one that is given up holds none.
func TestNoSecretIsShown(t *testing.T) {
	k := newKey(t, 0x1301)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, k); got != "TLS_AES_128_GCM_SHA256" {
			t.Errorf("%s: %s", verb, got)
		}
	}
	k.Forget()
	if *k != (Key{seq: k.seq}) || fmt.Sprint(k) != "no key" {
		t.Error("something is left of a key that was given up")
	}
	if _, err := k.Seal(nil, Application, nil); !errors.Is(err, errForgotten) {
		t.Error(err)
	}
}

func TestInitRefuses(t *testing.T) {
	for id, n := range map[uint16]int{0xc02f: 32, 0x1304: 32, 0x1301: 48, 0x1302: 32, 0x1303: 0} {
		if err := new(Key).Init(id, make([]byte, n)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%#x with a secret of %d: %v", id, n, err)
		}
	}
}

func TestBounds(t *testing.T) {
	k := newKey(t, 0x1301)
	if k.seq = most - 1; k.Worn() {
		t.Error("a key is worn before its time")
	}
	if _, err := k.Seal(nil, Application, nil); err != nil || !k.Worn() {
		t.Errorf("a key is not worn after 2^24 records (%v)", err)
	}
	if _, err := k.Seal(nil, Application, make([]byte, MaxContent+1)); err == nil {
		t.Error("a record with more content than one may have")
	}
	k.seq = 1<<64 - 1
	if _, err := k.Seal(nil, Application, nil); err == nil {
		t.Error("the number of a record began again")
	}
}

func TestAllocates(t *testing.T) {
	for id := range all {
		out, in := newKey(t, id), newKey(t, id)
		content, b := make([]byte, 2000), make([]byte, 0, 2000+Overhead)
		if n := testing.AllocsPerRun(100, func() {
			sealed, err := out.Seal(b, Application, content)
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := in.Open(sealed); err != nil || len(got) != len(content) {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations for a record", out, n)
		}
	}
}

// FuzzOpen: whatever comes, it is a record or an error, and nothing beyond it is touched.
func FuzzOpen(f *testing.F) {
	f.Add(Application, []byte("content"), uint16(3), byte(0), true)
	f.Add(Handshake, []byte{24, 0, 0, 1, 1}, uint16(0), byte(0), false)
	f.Add(AlertType, []byte{2, 20}, uint16(0), byte(9), true)
	f.Fuzz(func(t *testing.T, typ byte, content []byte, padding uint16, flip byte, client bool) {
		out, in := newKey(t, 0x1301), newKey(t, 0x1301)
		if len(content) > 1<<15 {
			return
		}
		b := append(seal(t, out, typ, string(content), int(padding)), 0xee)
		record := b[:len(b)-1]
		if len(record)-HeaderLen > 0xffff {
			return
		}
		if flip > 0 {
			record[int(flip)%len(record)] ^= flip
		}
		n, err := Size(record)
		if err != nil || n != len(record) {
			return
		}
		got, plain, err := in.Open(record)
		if b[len(b)-1] != 0xee {
			t.Fatal("something beyond the record was written")
		}
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) {
				t.Fatal(err)
			}
			return
		}
		if flip > 0 || typ != 0 && (got != typ || !bytes.Equal(plain, content)) {
			t.Fatalf("type %d, %x came back as %d, %x", typ, content, got, plain)
		}
		switch got {
		case Handshake:
			var m Messages
			_, err = m.Read(plain, client)
		case AlertType:
			_, err = ParseAlert(plain)
		}
		if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
	})
}

// FuzzMessages: however a stream of handshake messages is parted into records, it means the same.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{24, 0, 0, 1, 0}, byte(2), true)
	f.Add([]byte{4, 0, 0, 2, 9, 9, 24, 0, 0, 1, 1}, byte(3), true)
	f.Fuzz(func(t *testing.T, stream []byte, size byte, client bool) {
		var whole, parted Messages
		if len(stream) == 0 {
			return
		}
		want, wantErr := whole.Read(stream, client)
		var got Update
		var err error
		for left := stream; len(left) > 0 && err == nil && got == NoUpdate; {
			n := min(int(size)+1, len(left))
			got, err = parted.Read(left[:n], client)
			left = left[n:]
		}
		if wantErr == nil && (err != nil || got != want || whole.Partial() != parted.Partial()) {
			t.Fatalf("at once %d, in pieces %d, %v", want, got, err)
		}
		if wantErr != nil && err == nil && got == NoUpdate { // what follows a KeyUpdate is an error in its record alone
			t.Fatalf("at once %v, in pieces none", wantErr)
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	for _, n := range []int{100, 1000, MaxContent} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			out, in := newKey(b, 0x1301), newKey(b, 0x1301)
			content, room := make([]byte, n), make([]byte, 0, n+Overhead)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				sealed, err := out.Seal(room, Application, content)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := in.Open(sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
