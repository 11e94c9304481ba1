package http2

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lines(fs []Field) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// TestDecodeAppendixC runs the examples of RFC 7541 appendix C.
func TestDecodeAppendixC(t *testing.T) {
	type block struct {
		hex, want string
		size      uint32 // of the dynamic table afterwards
	}
	request := ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
	second := request + "cache-control: no-cache\n"
	third := ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n"
	response := ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n"
	last := ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n" +
		"content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"
	for name, c := range map[string]struct {
		table  uint32
		blocks []block
	}{
		"C.2.1": {4096, []block{{"400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header\n", 55}}},
		"C.2.2": {4096, []block{{"040c2f73616d706c652f70617468", ":path: /sample/path\n", 0}}},
		"C.2.3": {4096, []block{{"100870617373776f726406736563726574", "password: secret\n", 0}}},
		"C.2.4": {4096, []block{{"82", ":method: GET\n", 0}}},
		"C.3": {4096, []block{{"828684410f7777772e6578616d706c652e636f6d", request, 57},
			{"828684be58086e6f2d6361636865", second, 110},
			{"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", third, 164}}},
		"C.4": {4096, []block{{"828684418cf1e3c2e5f23a6ba0ab90f4ff", request, 57},
			{"828684be5886a8eb10649cbf", second, 110},
			{"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", third, 164}}},
		"C.5": {256, []block{{"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d", response, 222},
			{"4803333037c1c0bf", strings.Replace(response, "302", "307", 1), 222},
			{"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31", last, 215}}},
		"C.6": {256, []block{{"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3", response, 222},
			{"4883640effc1c0bf", strings.Replace(response, "302", "307", 1), 222},
			{"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", last, 215}}},
	} {
		t.Run(name, func(t *testing.T) {
			d, s := NewDecoder(c.table), &Section{}
			for i, b := range c.blocks {
				s.Reset()
				if err := d.Decode(unhex(t, b.hex), s); err != nil {
					t.Fatalf("block %d: %v", i, err)
				}
				if got := lines(s.Fields); got != b.want || d.table.size != b.size {
					t.Errorf("block %d: %s table %d\nwant %s table %d", i, got, d.table.size, b.want, b.size)
				}
			}
		})
	}
}

func TestIntegers(t *testing.T) {
	// RFC 7541 C.1.1 to C.1.3.
	for _, c := range []struct {
		n    uint32
		bits uint
		want string
	}{{10, 5, "0a"}, {1337, 5, "1f9a0a"}, {42, 8, "2a"}, {30, 5, "1e"}, {31, 5, "1f00"}, {maxInteger, 7, "7f80ffffff07"}} {
		b := appendInteger(nil, 0, c.bits, c.n)
		if hex.EncodeToString(b) != c.want {
			t.Errorf("%d with %d bits: %x, want %s", c.n, c.bits, b, c.want)
		}
		if n, rest, err := parseInteger(b, c.bits); n != c.n || len(rest) != 0 || err != nil {
			t.Errorf("%x: %d %x %v", b, n, rest, err)
		}
	}
	// "Integer encodings that exceed implementation limits, in value or octet length, MUST be treated as decoding errors"
	// (RFC 7541 section 5.1).
	for _, s := range []string{"", "1f", "1f80", "1f8080808080", "1fffffffff0f", "1fffffffffffffffffff01", "1f808080808000"} {
		if n, _, err := parseInteger(unhex(t, s), 5); err == nil {
			t.Errorf("%s: %d, want an error", s, n)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for name, s := range map[string]string{
		"index 0 (section 6.1)":                       "80",
		"index beyond the tables (section 2.3.3)":     "be",
		"name index beyond the tables":                "7e0161",
		"size update above the setting (section 6.3)": "3fe21f",
		"size update after a field (section 4.2)":     "8220",
		"string longer than the block":                "4003616263056162",
		"block ends before the value":                 "4003616263",
		"padding of 8 bits (section 5.2)":             "400161" + "82" + "1fff",
		"padding not of the end of string":            "400161" + "81" + "18",
		"end of string inside a string (section 5.2)": "400161" + "84" + "ffffffff",
		"code cut short":                              "400161" + "81" + "fe",
	} {
		if err := NewDecoder(4096).Decode(unhex(t, s), &Section{}); err == nil {
			t.Errorf("%s: no error", name)
		} else if e := err.(*Error); e.Code != CompressionError || e.Stream != 0 {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// TestHuffman checks the derived code against the oracle's table of the RFC.
func TestHuffman(t *testing.T) {
	for s := range 256 {
		one := string([]byte{byte(s)})
		if got, want := appendHuffman(nil, one), hpack.AppendHuffmanString(nil, one); !bytes.Equal(got, want) {
			t.Errorf("%#x: %x, want %x", s, got, want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, rng.IntN(60))
		for i := range b {
			if b[i] = byte(rng.Uint32()); rng.IntN(4) > 0 {
				b[i] = "abcdefgh-0123/ etaoin"[rng.IntN(21)]
			}
		}
		coded := appendHuffman(nil, string(b))
		if len(coded) != huffmanLen(string(b)) || !bytes.Equal(coded, hpack.AppendHuffmanString(nil, string(b))) {
			t.Fatalf("%q: %x", b, coded)
		}
		if got, err := appendDecoded(nil, coded); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%q: %q %v", b, got, err)
		}
	}
}

// TestEncodeDecode sends random sections through our encoder into both decoders, over tables that change their size.
func TestEncodeDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	names := []string{":method", ":path", "content-type", "x-a", "x-b", "authorization", "x-request-id", "user-agent", "a"}
	for _, huff := range []bool{false, true} {
		e := NewEncoder(4096)
		e.Huffman = huff
		d, s := NewDecoder(4096), &Section{}
		theirs := hpack.NewDecoder(4096, nil)
		for range 3000 {
			if rng.IntN(20) == 0 {
				for range 1 + rng.IntN(3) {
					e.SetMaxTableSize(uint32(rng.IntN(5000)))
				}
			}
			if rng.IntN(20) == 0 {
				e.Forget()
			}
			var want []Field
			b := e.AppendStart(nil)
			for range rng.IntN(12) {
				f := Field{Name: names[rng.IntN(len(names))], Value: strings.Repeat("v", rng.IntN(40)) + fmt.Sprint(rng.IntN(30)), Never: rng.IntN(20) == 0}
				b = e.AppendField(b, f.Name, f.Value, f.Never)
				f.Never = f.Never || f.Name == "authorization"
				want = append(want, f)
			}
			s.Reset()
			if err := d.Decode(b, s); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Fields, want) {
				t.Fatalf("got\n%swant\n%s", lines(s.Fields), lines(want))
			}
			fs, err := theirs.DecodeFull(b)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, s.Fields, fs)
			if d.table.size != e.table.size || d.table.live != e.table.live {
				t.Fatalf("tables differ: %d/%d and %d/%d", d.table.size, d.table.live, e.table.size, e.table.live)
			}
		}
	}
}

func compare(t *testing.T, ours []Field, theirs []hpack.HeaderField) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%d fields, the oracle has %d\n%s%v", len(ours), len(theirs), lines(ours), theirs)
	}
	for i, f := range theirs {
		if o := ours[i]; o.Name != f.Name || o.Value != f.Value || o.Never != f.Sensitive {
			t.Fatalf("field %d: %v, the oracle has %v", i, o, f)
		}
	}
}

// TestIndexing: what repeats costs one byte, what is secret never enters a table (RFC 7541 section 7.1.3).
func TestIndexing(t *testing.T) {
	e := NewEncoder(4096)
	for _, c := range []struct {
		name, value   string
		first, second int
	}{
		{":method", "GET", 1, 1},
		{"content-type", "application/grpc", 1 + 1 + 16, 1},
		{"x-custom", "v", 1 + 1 + 8 + 1 + 1, 1},
		{"x-custom", "w", 1 + 1 + 1, 1},
		{"authorization", "Bearer x", 2 + 1 + 8, 2 + 1 + 8},
		{"traceparent", "00-1-2-3", 1 + 1 + 11 + 1 + 8, 1 + 1 + 11 + 1 + 8},
		{":path", "/a/b", 1 + 1 + 4, 1},
		{":path", "/a?b", 1 + 1 + 4, 1 + 1 + 4},
	} {
		if n := len(e.AppendField(nil, c.name, c.value, false)); n != c.first {
			t.Errorf("%s: %s takes %d bytes at first, want %d", c.name, c.value, n, c.first)
		}
		if n := len(e.AppendField(nil, c.name, c.value, false)); n != c.second {
			t.Errorf("%s: %s takes %d bytes again, want %d", c.name, c.value, n, c.second)
		}
	}
	if b := e.AppendField(nil, "cookie", "a=b", false); b[0]&0xf0 != 0x10 {
		t.Errorf("cookie goes as %x", b)
	}
}

// TestSizeUpdates: "if the size changes several times between blocks, the smallest is signalled and then the final one"
// (RFC 7541 section 4.2, in our words).
func TestSizeUpdates(t *testing.T) {
	e := NewEncoder(4096)
	e.SetMaxTableSize(100)
	e.SetMaxTableSize(0)
	e.SetMaxTableSize(70)
	if b := e.AppendStart(nil); !bytes.Equal(b, []byte{0x20, 0x3f, 70 - 31}) {
		t.Errorf("%x", b)
	}
	if b := e.AppendStart(nil); len(b) != 0 {
		t.Errorf("again: %x", b)
	}
	if e.Forget(); len(e.AppendStart(nil)) != 0 {
		t.Error("an empty table is announced to be emptied")
	}
	first := e.AppendField(nil, "a", "b", false)
	e.Forget()
	if b := e.AppendStart(nil); !bytes.Equal(b, []byte{0x20, 0x3f, 70 - 31}) {
		t.Errorf("forgotten: %x", b)
	}
	if b := e.AppendField(nil, "a", "b", false); !bytes.Equal(b, first) {
		t.Errorf("after it was forgotten a field goes as %x, at first as %x", b, first)
	}
}

// TestHeaderBomb: one indexed byte may stand for a table's worth of bytes, so that the limit must count what comes out.
func TestHeaderBomb(t *testing.T) {
	d, s := NewDecoder(4096), &Section{Limit: 16 << 10}
	b := appendInteger([]byte{0x40, 1, 'x'}, 0, 7, 4000)
	b = append(b, bytes.Repeat([]byte{'v'}, 4000)...)
	b = append(b, bytes.Repeat([]byte{0xbe}, 10000)...)
	if err := d.Decode(b, s); err != nil {
		t.Fatal(err)
	}
	if !s.TooLarge || s.Size > s.Limit || cap(s.buf) > 64<<10 {
		t.Errorf("too large %v, size %d, memory %d", s.TooLarge, s.Size, cap(s.buf))
	}
	// The connection goes on: the table was kept in step.
	s.Reset()
	if err := d.Decode([]byte{0xbe}, s); err != nil || len(s.Fields) != 1 || len(s.Fields[0].Value) != 4000 {
		t.Errorf("afterwards: %v %d fields", err, len(s.Fields))
	}
	s.Reset()
	literals := bytes.Repeat(b[:len(b)-10000], 200) // those beyond the limit keep nothing either
	if err := d.Decode(literals, s); err != nil || cap(s.buf) > 64<<10 {
		t.Errorf("%v, memory %d", err, cap(s.buf))
	}
}

func FuzzHPACK(f *testing.F) {
	for _, s := range []string{"828684410f7777772e6578616d706c652e636f6d", "828684418cf1e3c2e5f23a6ba0ab90f4ff", "3fe11f400161016282be",
		"88c16196d07abe941054d444a8200595040b8166e084a62d1bff", "10087061737377", "20408825a849e95ba97d7f"} {
		f.Add(unhex(f, s), unhex(f, "be82"))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		d, s := NewDecoder(4096), &Section{}
		theirs := hpack.NewDecoder(4096, nil)
		for _, b := range [][]byte{one, two} {
			s.Reset()
			err := d.Decode(b, s)
			fs, their := theirs.DecodeFull(b)
			if (err == nil) != (their == nil) {
				if err == nil && strings.Contains(their.Error(), "table size update") {
					return // the oracle refuses more than one update in a row; section 4.2 allows two
				}
				if their == nil && (err == errInteger || err == errResize) {
					return // the oracle reads up to 9 bytes of an integer, and an update behind a field if its table is empty
				}
				t.Fatalf("%x: %v, the oracle says %v", b, err, their)
			}
			if err != nil {
				return
			}
			compare(t, s.Fields, fs)
			again(t, s.Fields)
		}
	})
}

// again encodes what was decoded and decodes that.
func again(t *testing.T, fs []Field) {
	for _, huff := range []bool{false, true} {
		e := NewEncoder(4096)
		e.Huffman = huff
		var b []byte
		for range 2 {
			for _, f := range fs {
				b = e.AppendField(b, f.Name, f.Value, f.Never)
			}
		}
		got, err := hpack.NewDecoder(4096, nil).DecodeFull(b)
		if err != nil || len(got) != 2*len(fs) {
			t.Fatalf("%v: %v", fs, err)
		}
		for i, g := range got {
			if f := fs[i%len(fs)]; g.Name != f.Name || g.Value != f.Value || f.Never && !g.Sensitive {
				t.Fatalf("%v came back as %v", f, g)
			}
		}
	}
}

var sample = []Field{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "reviews.default.svc.cluster.local:9080"},
	{Name: ":path", Value: "/shop.Reviews/List"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	{Name: "user-agent", Value: "grpc-go/1.85.0"}, {Name: "grpc-timeout", Value: "999934u"}, {Name: "x-request-id", Value: "5f2f1e70-0c52-9a1c-8a3f-3f1c1d6f7f10"},
	{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}

func BenchmarkEncode(b *testing.B) {
	for _, huff := range []bool{false, true} {
		b.Run(fmt.Sprintf("huffman=%v", huff), func(b *testing.B) {
			b.ReportAllocs()
			e := NewEncoder(4096)
			e.Huffman = huff
			var buf []byte
			for b.Loop() {
				buf = buf[:0]
				for i := range sample {
					buf = e.AppendField(buf, sample[i].Name, sample[i].Value, false)
				}
			}
			b.ReportMetric(float64(len(buf)), "wire-bytes")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, huff := range []bool{false, true} {
		b.Run(fmt.Sprintf("huffman=%v", huff), func(b *testing.B) {
			b.ReportAllocs()
			e, d, s := NewEncoder(4096), NewDecoder(4096), &Section{Limit: 64 << 10}
			e.Huffman = huff
			var buf []byte
			for range 2 {
				buf = buf[:0]
				for _, f := range sample {
					buf = e.AppendField(buf, f.Name, f.Value, false)
				}
				d.Decode(buf, s)
			}
			for b.Loop() {
				s.Reset()
				if err := d.Decode(buf, s); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Request(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestNoAllocations: nothing is allocated once buffers have grown, not even by a peer that fills the table with new values.
func TestNoAllocations(t *testing.T) {
	e, d, s := NewEncoder(4096), NewDecoder(4096), &Section{Limit: 64 << 10}
	var buf []byte
	value := []byte("value-0000000000")
	run := func() {
		buf = e.AppendStart(buf[:0])
		for i := range sample {
			buf = e.AppendField(buf, sample[i].Name, sample[i].Value, false)
		}
		for i := range 6 {
			value[6+i] = '0' + (value[6+i]+byte(i)+1)%10
			buf = e.AppendField(buf, "x-new", lend(value), false)
		}
		s.Reset()
		if err := d.Decode(buf, s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Request(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		run()
	}
	if n := testing.AllocsPerRun(1000, run); n > 0 {
		t.Errorf("%v allocations a round", n)
	}
}
