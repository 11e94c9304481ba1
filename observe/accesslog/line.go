package accesslog

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// appendJSON writes one object. Its fields' names and order are part of what weft promises.
func appendJSON(b []byte, r *observe.Record) []byte {
	o := object{append(b, '{')}
	o.time("time", r.Start)
	o.text("reporter", r.Reporter.String())
	o.party("from", &r.From)
	o.party("to", &r.To)
	o.some("service", r.Service)
	o.number("port", int64(r.Port))
	o.some("subset", r.Subset)
	o.text("protocol", r.Proto.String())
	if r.Proto != traffic.TCP {
		o.text("method", r.Method)
		o.some("authority", r.Authority)
		o.text("path", r.Path)
		o.some("requestId", r.RequestID)
	}
	o.number("status", int64(r.Status))
	o.some("grpcStatus", r.GRPC)
	o.flag("local", r.Local)
	o.flag("failed", r.Failed)
	o.number("attempts", int64(r.Attempts))
	o.number("sent", r.Sent)
	o.number("received", r.Received)
	o.duration("headSeconds", r.Head)
	o.duration("seconds", r.Took)
	o.text("security", security(r.Secure))
	o.verdict(r)
	o.some("calleeProxy", r.Remote)
	if r.Err != nil {
		o.text("error", r.Err.Error())
	}
	return append(o.b, "}\n"...)
}

type object struct{ b []byte }

func (o *object) name(n string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), n...), `":`...)
}

func (o *object) text(name, v string) {
	o.name(name)
	o.b = quote(o.b, clip(v))
}

func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.b = append(t.UTC().AppendFormat(append(o.b, '"'), time.RFC3339Nano), '"')
}

func (o *object) some(name, v string) {
	if v != "" {
		o.text(name, v)
	}
}

func (o *object) number(name string, v int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) flag(name string, v bool) {
	if v {
		o.name(name)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) duration(name string, d time.Duration) {
	o.name(name)
	o.b = strconv.AppendFloat(o.b, d.Seconds(), 'f', 6, 64)
}

func (o *object) party(name string, p *observe.Party) {
	o.some(name, p.Workload)
	o.some(name+"Identity", p.ID.String())
	if p.Addr.Addr().IsValid() {
		o.address(name+"Address", p.Addr)
	}
}

func (o *object) address(name string, a netip.AddrPort) {
	o.name(name)
	o.b = append(a.AppendTo(append(o.b, '"')), '"') // the names of an address' zone are the kernel's
}

// verdict says what decided, by which rule, and all that was said on the way.
func (o *object) verdict(r *observe.Record) {
	o.text("reason", r.Deciding.Reason.String())
	if r.Deciding.Outcome == decision.Deny {
		o.text("outcome", "deny")
	}
	if r.Deciding.Ref != nil {
		o.text("because", r.Deciding.Ref.String())
	}
	if r.Class != nil {
		o.text("classifiedBy", r.Class.String())
	}
	if len(r.Verdicts) < 2 {
		return
	}
	o.name("verdicts")
	o.b = append(o.b, '[')
	for i, v := range r.Verdicts[max(0, len(r.Verdicts)-maxVerdicts):] {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = quote(o.b, clip(v.String()))
	}
	o.b = append(o.b, ']')
}

// Bounds of a line.
const (
	maxText     = 2 << 10
	maxVerdicts = 20 // the latest
)

// clip cuts what is too long, and says so.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:maxText] + "..."
}

const hex = "0123456789abcdef"

// quote writes a JSON string; bytes that are no UTF-8 become U+FFFD. A line stays one line in every terminal, and reads in one
// direction, whatever a caller sends.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case hidden(c):
			b = append(b, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
		default:
			b = utf8.AppendRune(b, c)
		}
		i += n
	}
	return append(b, '"')
}

// hidden are control characters, and those that end a line, turn its direction, or can't be seen (Unicode, categories Cc, Zl, Zp
// and some of Cf).
func hidden(c rune) bool {
	return c < 0x20 || c >= 0x7f && c < 0xa0 || c >= 0x200b && c <= 0x200f || c >= 0x2028 && c <= 0x202e || c >= 0x2060 && c <= 0x206f || c == 0xfeff
}

// appendText writes a line that a person reads in a terminal.
func appendText(b []byte, r *observe.Record) []byte {
	b = r.Start.Local().AppendFormat(b, "15:04:05.000 ")
	b = append(b, word(name(&r.From))...)
	b = append(b, " -> "...)
	if r.Service != "" {
		b = append(b, word(r.Service)...)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(r.Port), 10)
	} else {
		b = append(b, word(name(&r.To))...)
	}
	if r.Subset != "" {
		b = append(append(b, " subset "...), word(r.Subset)...)
	}
	b = append(append(b, ' '), r.Proto.String()...)
	if r.Proto != traffic.TCP {
		b = append(append(b, ' '), word(r.Method)...)
		b = append(append(b, ' '), word(r.Path)...)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(r.Status), 10)
	if r.GRPC != "" {
		b = append(append(b, " grpc "...), word(r.GRPC)...)
	}
	b = append(append(b, ' '), r.Took.Round(10*time.Microsecond).String()...)
	b = append(append(b, ' '), security(r.Secure)...)
	return append(because(b, r), '\n')
}

// because says what made the call go as it did.
func because(b []byte, r *observe.Record) []byte {
	if r.Attempts > 1 {
		b = append(strconv.AppendUint(append(b, ' '), uint64(r.Attempts), 10), " attempts"...)
	}
	if r.Deciding.Ref != nil || r.Deciding.Outcome == decision.Deny {
		b = append(append(b, ", "...), plain(r.Deciding.String())...)
	}
	if r.Remote != "" {
		b = append(append(b, ", callee's proxy: "...), plain(r.Remote)...)
	}
	if r.Class != nil {
		b = append(append(b, ", classified by "...), plain(r.Class.String())...)
	}
	if r.Err != nil {
		b = append(append(b, ", "...), plain(r.Err.Error())...)
	}
	return b
}

func name(p *observe.Party) string {
	switch {
	case p.Workload != "":
		return p.Workload
	case p.Addr.IsValid():
		return p.Addr.String()
	}
	return "-"
}

// plain keeps a line one line.
func plain(s string) string { return printable(s, ' ') }

// word keeps what is one word one word: nobody can write a column of the log.
func word(s string) string { return printable(s, '!') }

// printable quotes what is not ASCII from least on.
func printable(s string, least byte) string {
	s = clip(s)
	for i := range len(s) {
		if s[i] < least || s[i] >= 0x7f {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

func security(secure bool) string {
	if secure {
		return "mtls"
	}
	return "plaintext"
}

func appendLost(b []byte, f Format, n uint64) []byte {
	if f == Text {
		return append(strconv.AppendUint(b, n, 10), " lines were lost: the log is written too slowly\n"...)
	}
	return append(strconv.AppendUint(append(b, `{"lost":`...), n, 10), "}\n"...)
}
