package main

import (
	"bytes"
	"strings"
	"time"

	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/wire/http2"
)

// attack is one way to hurt. do writes until the connection ends; it is called again for each new one.
type attack struct {
	name   string
	conns  int         // at the same time
	reason h2.Reason   // that the offender is counted under
	closed bool        // its connection ends with ENHANCE_YOUR_CALM
	memory int         // MiB that the proxy may take for it
	do     func(*peer) //
}

// Field sections made of the static table (RFC 7541 appendix A), so that each costs the fewest bytes.
var (
	authority = []byte{0x01, 1, 'a'}
	get       = append([]byte{0x82, 0x86, 0x84}, authority...)
	post      = append([]byte{0x83, 0x86, 0x84}, authority...)
	getLarge  = append(append([]byte{0x82, 0x86, 0x04, 6}, "/large"...), authority...)
	malformed = []byte{0x82}
)

func headers(id uint32, end bool, block []byte) []byte {
	return http2.Headers{Stream: id, EndStream: end, EndHeaders: true, Fragment: block}.Append(nil)
}

// each writes what frame makes for one stream after the other.
func each(frame func(id uint32) []byte) func(*peer) {
	return func(p *peer) {
		for id := uint32(1); p.write(frame(id)); id += 2 {
		}
	}
}

// faster sends so many times the bytes a second, once it is connected.
func faster(times float64, do func(*peer)) func(*peer) {
	return func(p *peer) {
		p.pace = &pace{rate: times * p.pace.rate}
		do(p)
	}
}

// after opens a stream and repeats a frame.
func after(first []byte, frame []byte) func(*peer) {
	return func(p *peer) {
		p.write(first)
		for p.write(frame) {
		}
	}
}

func settings(list ...http2.Setting) []byte { return http2.AppendSettings(nil, list...) }

var rapidReset = each(func(id uint32) []byte {
	return http2.RSTStream{Stream: id, Code: http2.Cancel}.Append(headers(id, true, get))
})

// A stream that is held has 64 KiB of window for its answer, and takes some 16 KiB for itself and its goroutine.
var attacks = []attack{
	{"rapid reset (CVE-2023-44487)", 1, h2.RapidReset, true, 16, rapidReset},
	{"made to reset (CVE-2025-8671)", 1, h2.RapidReset, true, 16, each(func(id uint32) []byte {
		return http2.WindowUpdate{Stream: id}.Append(headers(id, true, get))
	})},
	{"malformed requests", 1, h2.RapidReset, true, 16, each(func(id uint32) []byte { return headers(id, true, malformed) })},
	{"CONTINUATION (CVE-2024-27316)", 1, h2.ContinuationFlood, true, 16,
		after(http2.Headers{Stream: 1, Fragment: get}.Append(nil), http2.Continuation{Stream: 1}.Append(nil))},
	{"SETTINGS (CVE-2019-9515)", 1, h2.SettingsFlood, true, 16, after(nil, settings())},
	{"SETTINGS, acknowledged", 1, h2.SettingsFlood, true, 16, after(nil, http2.AppendSettingsAck(nil))},
	{"PING (CVE-2019-9512)", 1, h2.PingFlood, true, 16, after(nil, http2.Ping{}.Append(nil))},
	{"GOAWAY", 1, h2.GoAwayFlood, true, 16, after(nil, http2.GoAway{}.Append(nil))},
	{"empty DATA (CVE-2019-9518)", 1, h2.EmptyFrameFlood, true, 16, after(headers(1, false, post), http2.Data{Stream: 1}.Append(nil))},
	{"HEADERS of a closed stream", 1, h2.LateFlood, true, 16,
		after(http2.WindowUpdate{Stream: 1}.Append(headers(1, false, post)), headers(1, false, malformed))},
	{"WINDOW_UPDATE", 1, h2.WindowFlood, true, 16, after(nil, http2.WindowUpdate{Increment: 1}.Append(nil))},
	{"PRIORITY (CVE-2019-9513)", 1, h2.PriorityFlood, true, 16,
		after(nil, append(http2.FrameHeader{Length: 5, Type: http2.TypePriority, Stream: 1}.Append(nil), 0, 0, 0, 0, 0))},
	{"streams beyond the limit", 1, h2.RapidReset, true, 32, each(func(id uint32) []byte { return headers(id, false, post) })},
	{"streams that are held open", 8, "", false, 64, func(p *peer) {
		for id := uint32(1); id < 500 && p.write(headers(id, false, post)); id += 2 {
		}
		<-p.ended
	}},
	{"windows shut (CVE-2019-9517)", 8, "", false, 8 * 250 * (64 + 16) >> 10, func(p *peer) {
		p.write(settings(http2.Setting{ID: http2.SettingInitialWindowSize}))
		for id := uint32(1); id < 500 && p.write(headers(id, true, getLarge)); id += 2 {
		}
		<-p.ended
	}},
	{"windows opened by a byte (CVE-2019-9511)", 1, "", false, 32, after(
		append(settings(http2.Setting{ID: http2.SettingInitialWindowSize}), headers(1, true, getLarge)...), http2.WindowUpdate{Stream: 1, Increment: 1}.Append(nil))},
	{"windows changed for many streams", 1, "", false, 32, func(p *peer) {
		for id := uint32(1); id < 500 && p.write(headers(id, false, post)); id += 2 {
		}
		var list []http2.Setting
		for i := range uint32(100) {
			list = append(list, http2.Setting{ID: http2.SettingInitialWindowSize, Value: i})
		}
		after(nil, settings(list...))(p)
	}},
	{"HPACK bomb (CVE-2016-6581)", 1, h2.HeaderTooLarge, true, 32, bomb(40)},
	{"HPACK bomb that the limit lets in", 1, h2.HeaderTooLarge, true, 64, bomb(20)},
	{"HPACK bomb of small sections", 1, h2.HeaderTooLarge, true, 64, bomb(2)},
	{"one field of 4 kB for a byte", 1, "", false, 16, bomb(1)},
	{"HPACK bombs that are held", 8, h2.HeaderTooLarge, true, 256, held},
	{"HPACK table sizes", 1, "", false, 16, each(func(id uint32) []byte {
		return headers(id, true, append(bytes.Repeat([]byte{0x20, 0x3f, 0xe1, 0x1f}, 1000), get...)) // 0 and 4096, in turn
	})},
	{"huge headers", 1, h2.HeaderTooLarge, false, 16, func(p *peer) {
		field := append([]byte{0, 1, 'x', 0x7f, 0x81, 0x7d}, strings.Repeat("v", 16128)...)
		for id := uint32(1); ; id += 2 {
			b := http2.Headers{Stream: id, EndStream: true, Fragment: get}.Append(nil)
			for range 7 {
				b = http2.Continuation{Stream: id, Fragment: field}.Append(b)
			}
			if !p.write(http2.Continuation{Stream: id, EndHeaders: true}.Append(b)) {
				return
			}
		}
	}},
}

// first puts a field of 4 kB into the table, where a byte stands for it.
func first() []byte {
	b := append(bytes.Clone(get), 0x40, 1, 'x', 0x7f, 0xa1, 0x1e)
	return append(b, bytes.Repeat([]byte("v"), 4000)...)
}

func bomb(references int) func(*peer) {
	block := append(bytes.Clone(get), bytes.Repeat([]byte{0x80 | 62}, references)...)
	return func(p *peer) {
		p.write(headers(1, true, first()))
		p.ask(3, block)
	}
}

// held opens as many streams as there may be, with all that the limit of a field section lets in, and holds them.
func held(p *peer) {
	p.write(headers(1, true, first()))
	block := append(bytes.Clone(post), bytes.Repeat([]byte{0x80 | 62}, 20)...)
	for id := uint32(3); id < 500 && p.write(headers(id, false, block)); id += 2 {
	}
	<-p.ended
}

// fastReset shows that what an offender costs has a bound, however fast it is: of CPU and memory, as a client of a 64th of its bytes. A
// p99 is not compared with that client's: 500 streams at once take both cores for some 10 ms before they are too many, and twice in
// the 2 s that are measured. Another client's p99 was 2.8 ms (1.0) on a quiet machine, and 14 ms (3) and 18 ms (15) on busy ones.
var fastReset = attack{"rapid reset, 64 times as fast", 1, h2.RapidReset, true, 16, faster(64, rapidReset)}

// slowHeaders never ends a field section, though it never stops for long.
var slowHeaders = attack{"slow headers", 1, h2.SlowFrame, true, 16, func(p *peer) {
	p.write(http2.Headers{Stream: 1, Fragment: get}.Append(nil))
	for p.write(http2.Continuation{Stream: 1}.Append(nil)) {
		select {
		case <-p.ended:
		case <-time.After(2 * time.Second):
		}
	}
}}
