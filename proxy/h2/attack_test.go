package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// flood repeats do until the reason is reported, and wants that to be before n times, and the connection closed as it should be.
func flood(t *testing.T, r *raw, why *reasons, reason Reason, n uint32, do func(i uint32)) {
	t.Helper()
	i := uint32(0)
	for ; i < 3*n && !why.has(reason); i++ {
		do(i)
	}
	if got := r.next(); !strings.Contains(got, "ENHANCE_YOUR_CALM") || !strings.HasSuffix(got, "closed") {
		t.Errorf("after %d: %.200s %v", i, got, why.list)
	}
	if i > n {
		t.Errorf("only after %d, want %d", i, n)
	}
}

// TestLate: what is thrown away because its stream is over is bounded too.
func TestLate(t *testing.T) {
	block := func(st *Stream) { <-st.Call().Gone; st.Call().Finish(time.Time{}) }
	reset := func(r *raw) { // the server resets stream 1
		r.headers(1, false, postFields...)
		r.WriteWindowUpdate(1, 0)
		if got := r.next(); got != "RST_STREAM 1 PROTOCOL_ERROR" {
			r.t.Fatal(got)
		}
	}
	t.Run("what was under way", func(t *testing.T) {
		attack(t, ServerOptions{Options: Options{StreamWindow: 1 << 17}}, block, func(r *raw, why *reasons) {
			reset(r)
			for range 8 {
				r.WriteData(1, false, make([]byte, 16384))
			}
			r.headers(1, true, "trailer", "x")
			if got := r.next(); got != "" {
				t.Errorf("%s %v", got, why.list)
			}
		})
	})
	t.Run("bytes", func(t *testing.T) {
		attack(t, ServerOptions{Options: Options{StreamWindow: 1 << 17}}, block, func(r *raw, why *reasons) {
			reset(r)
			flood(t, r, why, LateFlood, 18, func(uint32) { r.WriteData(1, false, make([]byte, 16384)) })
		})
	})
	t.Run("field sections", func(t *testing.T) {
		attack(t, ServerOptions{}, block, func(r *raw, why *reasons) {
			reset(r)
			flood(t, r, why, LateFlood, 1005, func(uint32) { r.headers(1, false, "x", "y") })
		})
	})
	t.Run("streams behind the last one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			freshPools()
			c, s := net.Pipe()
			var why reasons
			srv := NewServer(s, ServerOptions{Options: Options{Report: why.add}}, block)
			served := make(chan error, 1)
			go func() { served <- srv.Serve() }()
			r := newRaw(t, c)
			go r.listen()
			io.WriteString(c, http2.Preface)
			r.WriteSettings()
			r.headers(1, false, postFields...)
			r.next()
			srv.Drain()
			r.WritePing(true, drainMark)
			r.next()
			time.Sleep(drainGrace)
			if got := r.next(); got != "GOAWAY 1 NO_ERROR" {
				t.Error(got)
			}
			flood(t, r, &why, RapidReset, 1003, func(i uint32) { r.headers(2*i+3, true, getFields...) })
			c.Close()
			<-served
		})
	})
}

// TestExhaustion: a client that goes on to open streams beyond its limit loses the connection.
func TestExhaustion(t *testing.T) {
	attack(t, ServerOptions{MaxStreams: 100}, func(st *Stream) { <-st.Call().Gone; st.Call().Finish(time.Time{}) }, func(r *raw, why *reasons) {
		flood(t, r, why, RapidReset, 1103, func(i uint32) { r.headers(2*i+1, false, postFields...) })
		if !why.has(StreamsRefused) {
			t.Errorf("%v", why.list[:3])
		}
	})
}

// TestHeaderBombs: HPACK makes little of much (RFC 7541 section 7), and the other way round.
func TestHeaderBombs(t *testing.T) {
	// A field of 4000 bytes is in the table; each reference to it costs a byte.
	bomb := func(r *raw, id uint32, references int) {
		fields := slices.Clone(getFields)
		if id == 1 {
			fields = append(fields, "x", strings.Repeat("v", 4000))
		}
		b := append(r.block(fields...), bytes.Repeat([]byte{0x80 | 62}, references)...)
		r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: b, EndHeaders: true, EndStream: id > 1})
	}
	hold := func(st *Stream) { <-st.Call().Gone; st.Call().Finish(time.Time{}) }
	t.Run("one section", func(t *testing.T) {
		attack(t, ServerOptions{Options: Options{MaxHeaderList: 1 << 16}}, hold, func(r *raw, why *reasons) {
			bomb(r, 1, 12000) // 48 MB in 16 KB
			if got := r.next(); got != "HEADERS 1 431 end=true; RST_STREAM 1 NO_ERROR" || !why.has(HeaderTooLarge) {
				t.Errorf("%s %v", got, why.list)
			}
			i := uint32(1)
			for ; i < 2000 && r.WritePing(true, [8]byte{}) == nil; i++ {
				bomb(r, 2*i+1, 12000)
			}
			if got := r.next(); !strings.HasSuffix(got, "ENHANCE_YOUR_CALM; closed") || i > 1004 {
				t.Errorf("after %d: %.200s", i, got)
			}
		})
	})
	t.Run("all that are open", func(t *testing.T) {
		var release chan struct{}
		attack(t, ServerOptions{Options: Options{MaxControl: 1 << 20}}, func(st *Stream) {
			<-release
			st.Call().Response.Status = 204
			st.Respond()
			st.Call().Finish(time.Time{})
		}, func(r *raw, why *reasons) {
			release = make(chan struct{})
			bomb(r, 1, 14)
			got, i := "", uint32(1)
			for ; i < 250 && got == ""; i++ {
				bomb(r, 2*i+1, 14)
				got = r.next()
			}
			if want := fmt.Sprintf("RST_STREAM %d REFUSED_STREAM", 2*i-1); got != want || i < 100 || i > maxHeld/(14*4000) || !why.has(StreamsRefused) {
				t.Errorf("%d taken: %s, want %s, %v", i-1, got, want, why.list)
			}
			close(release)
			r.next()
			bomb(r, 2*i+1, 14)
			if got := r.next(); got != fmt.Sprintf("HEADERS %d 204 end=true", 2*i+1) {
				t.Errorf("once they are answered: %s", got)
			}
		})
	})
	t.Run("table", func(t *testing.T) { // ours stays as it is; the raw client's decoder would refuse a larger one
		attack(t, ServerOptions{}, func(st *Stream) {
			st.Call().Response.Status = 200
			for i := range 100 {
				st.Call().Response.Header.Add(fmt.Sprint("x-", st.id, "-", i), strings.Repeat("v", 100))
			}
			st.Respond()
			st.Call().Finish(time.Time{})
		}, func(r *raw, why *reasons) {
			for i := range uint32(10) {
				r.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 1 << 31}, xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 100 * i},
					xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 1<<32 - 1})
				r.headers(2*i+1, true, getFields...)
				if got := r.next(); got != fmt.Sprintf("HEADERS %d 200 end=true", 2*i+1) {
					t.Fatalf("%s %v", got, why.list)
				}
			}
		})
	})
}

// TestSettingsWork: a frame that changes its mind a hundred times costs one look at the streams, so that only the last word counts.
func TestSettingsWork(t *testing.T) {
	attack(t, ServerOptions{}, quiet, func(r *raw, why *reasons) {
		r.headers(1, false, postFields...)
		r.WriteWindowUpdate(1, 1)
		var list []xhttp2.Setting
		for range 49 {
			list = append(list, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1<<31 - 1}, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 65535})
		}
		r.WriteSettings(list...)
		r.WriteData(1, true, nil)
		if got := r.next(); got != "HEADERS 1 200 end=true" {
			t.Errorf("%s %v", got, why.list)
		}
		r.WriteSettings(append(list, list...)...)
		if got := r.next(); got != "GOAWAY 1 ENHANCE_YOUR_CALM; closed" || !why.has(SettingsFlood) {
			t.Errorf("%s %v", got, why.list)
		}
	})
}

// TestSlowSection: a field section has one FrameTimeout, however many frames it comes in.
func TestSlowSection(t *testing.T) {
	attack(t, ServerOptions{}, quiet, func(r *raw, why *reasons) {
		start := time.Now()
		r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(getFields...)})
		for range 60 {
			if time.Sleep(5 * time.Second); r.WriteContinuation(1, false, nil) != nil {
				break
			}
		}
		if got := r.next(); got != "GOAWAY 0 ENHANCE_YOUR_CALM; closed" || !why.has(SlowFrame) || time.Since(start) > 45*time.Second {
			t.Errorf("after %v: %s %v", time.Since(start), got, why.list)
		}
	})
}

// TestUnread: answers without bodies, which no window holds back, do not pile up for a client that does not read.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freshPools()
		c, s := net.Pipe()
		var why reasons
		srv := NewServer(s, ServerOptions{Options: Options{Report: why.add}}, func(st *Stream) {
			st.Call().Response.Status = 302
			for i := range 20 {
				st.Call().Response.Header.Add(fmt.Sprint("x-", i), fmt.Sprint(st.id, strings.Repeat("v", 1000)))
			}
			st.Respond()
			st.Call().Finish(time.Time{})
		})
		served := make(chan error, 1)
		go func() { served <- srv.Serve() }()
		r := newRaw(t, c)
		io.WriteString(c, http2.Preface)
		r.WriteSettings()
		i := uint32(0)
		for ; i < 1000 && !why.has(WriteBacklog); i++ {
			r.headers(2*i+1, true, getFields...)
			synctest.Wait()
		}
		if n := len(srv.out); !why.has(WriteBacklog) || n > backlog+100<<10 {
			t.Errorf("after %d: %d bytes wait, %v", i, n, why.list)
		}
		c.Close()
		<-served
	})
}

// TestHostileServer: what a server may do to cost its client more than itself. A call is under way on stream 1; stream 3 is over.
func TestHostileServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason Reason
		do     func(r *raw, i uint32)
	}{
		{"PING", PingFlood, func(r *raw, _ uint32) { r.WritePing(false, [8]byte{}) }},
		{"PING ack", PingFlood, func(r *raw, _ uint32) { r.WritePing(true, [8]byte{}) }},
		{"SETTINGS", SettingsFlood, func(r *raw, _ uint32) { r.WriteSettings() }},
		{"SETTINGS ack", SettingsFlood, func(r *raw, _ uint32) { r.WriteSettingsAck() }},
		{"GOAWAY", GoAwayFlood, func(r *raw, _ uint32) { r.WriteGoAway(1, xhttp2.ErrCodeNo, nil) }},
		{"WINDOW_UPDATE", WindowFlood, func(r *raw, _ uint32) { r.WriteWindowUpdate(1, 1) }},
		{"PRIORITY", PriorityFlood, func(r *raw, _ uint32) { r.WritePriority(1, xhttp2.PriorityParam{StreamDep: 3}) }},
		{"unknown", PriorityFlood, func(r *raw, _ uint32) { r.WriteRawFrame(0x42, 0, 1, nil) }},
		{"empty DATA", EmptyFrameFlood, func(r *raw, i uint32) {
			if i == 0 {
				r.headers(1, false, ":status", "200")
			}
			r.WriteData(1, false, nil)
		}},
		{"CONTINUATION", ContinuationFlood, func(r *raw, i uint32) {
			if i == 0 {
				r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(":status", "200")})
			}
			r.WriteContinuation(1, false, nil)
		}},
		{"HEADERS of a stream that is over", LateFlood, func(r *raw, _ uint32) { r.headers(3, true, "x", "y") }},
		{"DATA of a stream that is over", LateFlood, func(r *raw, _ uint32) { r.WriteData(3, false, make([]byte, 16384)) }},
		{"RST_STREAM of a stream that is over", RapidReset, func(r *raw, _ uint32) { r.WriteRSTStream(3, xhttp2.ErrCodeCancel) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var why reasons
			victim(t, ClientOptions{Options: Options{Report: why.add}}, func(cl *Client, r *raw) {
				done := make(chan error, 1)
				go func() { done <- cl.RoundTrip(newCall("GET", "/", nil)) }()
				r.next()
				over := newCall("GET", "/", nil)
				go func() { done <- cl.RoundTrip(over) }()
				r.next()
				r.headers(3, false, ":status", "200")
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				over.Response.Body.Close(errors.New("enough"))
				if got := r.next(); got != "RST_STREAM 3 CANCEL" {
					t.Fatal(got)
				}
				flood(t, r, &why, c.reason, 1100, func(i uint32) { c.do(r, i) })
				if c.name == "empty DATA" {
					<-done
				} else if err := <-done; !errors.Is(err, traffic.ErrReset) {
					t.Errorf("the call ends with %v", err)
				}
			})
		})
	}
}

// TestInterimsTogether: interim responses are kept until the caller takes them; all together they are as large as one.
func TestInterimsTogether(t *testing.T) {
	victim(t, ClientOptions{Options: Options{MaxHeaderList: 8 << 10}}, func(cl *Client, r *raw) {
		call := newCall("GET", "/", nil)
		called, blocked := 0, make(chan struct{})
		call.Inform = func(int, *traffic.Header) { called++; <-blocked }
		done := make(chan error, 1)
		go func() { done <- cl.RoundTrip(call) }()
		r.next()
		for range 3 {
			r.headers(1, false, ":status", "103", "link", strings.Repeat("v", 4000))
		}
		if got := r.next(); got != "RST_STREAM 1 PROTOCOL_ERROR" {
			t.Error(got)
		}
		close(blocked)
		if err := <-done; !errors.Is(err, traffic.ErrReset) || called > 2 {
			t.Errorf("%v after %d", err, called)
		}
	})
}

// TestRepetitions: a byte of a section may stand for a field of 4 kB. What a table can hold is let in for good; of more, each
// costs.
func TestRepetitions(t *testing.T) {
	for _, c := range []struct{ references, most int }{{1, 0}, {4, 1000/9 + 2}} {
		t.Run(fmt.Sprint(c.references), func(t *testing.T) {
			attack(t, ServerOptions{}, func(st *Stream) { <-st.Call().Gone; st.Call().Finish(time.Time{}) }, func(r *raw, why *reasons) {
				r.headers(1, true, append(slices.Clone(getFields), "x", strings.Repeat("v", 4000))...)
				i := 1
				for ; i < 240 && !why.has(HeaderTooLarge); i++ {
					b := append(r.block(getFields...), bytes.Repeat([]byte{0x80 | 62}, c.references)...)
					r.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: b, EndHeaders: true, EndStream: true})
					synctest.Wait()
				}
				if got := r.next(); c.most == 0 && (got != "" || len(why.list) > 0) || c.most > 0 && (i > c.most || !strings.HasSuffix(got, "ENHANCE_YOUR_CALM; closed")) {
					t.Errorf("after %d: %q %v", i, got, why.list)
				}
			})
		})
	}
}

// TestHuffmanIsNoBomb: what is large because it was packed well costs nothing.
func TestHuffmanIsNoBomb(t *testing.T) {
	if size, block := 60<<10, 60<<10*5/8; inflated(size, block) > 0 {
		t.Errorf("%d", inflated(size, block))
	}
}

// TestManyCancels: a client may change its mind about many of its calls: here about one of five, and about all that are open at once.
func TestManyCancels(t *testing.T) {
	attack(t, ServerOptions{Options: Options{MaxControl: 500}}, quiet, func(r *raw, why *reasons) {
		id, answers := uint32(1), 0
		for second := range 20 {
			for i := range 1000 {
				r.headers(id, i%5 > 0, postFields...)
				if i%5 == 0 {
					r.WriteRSTStream(id, xhttp2.ErrCodeCancel)
				}
				if id += 2; i%10 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if answers += strings.Count(r.next(), " 200 end=true"); second%5 > 0 {
				continue
			}
			for range 250 {
				r.headers(id, false, postFields...)
				id += 2
			}
			synctest.Wait()
			for back := uint32(500); back > 0; back -= 2 {
				r.WriteRSTStream(id-back, xhttp2.ErrCodeCancel)
			}
			synctest.Wait()
		}
		if got := r.next(); answers != 20*800 || got != "" || len(why.list) > 0 {
			t.Errorf("%d answers, want %d; %s %v", answers, 20*800, got, why.list)
		}
	})
}
