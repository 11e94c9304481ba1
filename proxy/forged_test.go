package proxy_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// forged are headers that only some may say.
const forged = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: forged\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n" +
	"X-Forwarded-Client-Cert: URI=spiffe://forged\r\nX-Envoy-Internal: true\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 1\r\nL5d-Client-Id: forged\r\n" +
	"l5d-dst-override: forged\r\nWeft-Port: 1\r\nWeft-Proto: tcp\r\nWeft-Service: forged\r\nWeft-Try: 1\r\n"

// TestForgedHeaders: at each listener, what its peers may not say does not arrive.
func TestForgedHeaders(t *testing.T) {
	const never = "!x-envoy|!l5d-|!weft-|!spiffe://forged"
	app := newRawApp(t)
	for _, w := range ways(t, app) {
		app.next(okAnswer, false)
		talk(t, w.at, g+forged+"\r\n")
		all := app.saw()
		if len(all) != 1 {
			t.Fatalf("%s: %q", w.name, all)
		}
		hold(t, w.name, all[0], never)
		switch w.name {
		case "caller's proxy": // the application's own word on forwarding passes, as a gateway's backend needs it
			hold(t, w.name, all[0], "x-forwarded-for: 6.6.6.6\r\n|!x-forwarded-client-cert")
		case "both proxies":
			hold(t, w.name, all[0], "x-forwarded-for: 6.6.6.6, 127.0.0.2\r\n|x-forwarded-client-cert: By=spiffe://cluster.local/ns/default/sa/callee;URI=spiffe://cluster.local/ns/default/sa/caller\r\n")
		case "callee's proxy": // nothing that comes from outside counts
			hold(t, w.name, all[0], "x-forwarded-for: 127.0.0.1\r\n|x-forwarded-proto: http\r\n|!x-forwarded-host|!x-real-ip|!\r\nforwarded|!6.6.6.6|!x-forwarded-client-cert")
		}
	}
}

// TestForgedAnswers: an application cannot say in an answer what proxies tell each other.
func TestForgedAnswers(t *testing.T) {
	app := newRawApp(t)
	for _, w := range ways(t, app) {
		app.next("HTTP/1.1 200 OK\r\nWeft-Status: 500\r\nWeft-Error: forged\r\nX-Mine: 1\r\nContent-Length: 2\r\n\r\nok", false)
		got, _ := talk(t, w.at, g+"\r\n")
		hold(t, w.name, got, "x-mine: 1")
		if w.name != "caller's proxy" { // a callee without a proxy is none of the mesh's, and nobody reads it
			hold(t, w.name, got, "!weft-status|!weft-error")
		}
	}
}

// TestForgedByPeer: another proxy may say x-forwarded-*, since it has added the caller's address itself; not who it is, nor what
// other meshes' proxies would obey.
func TestForgedByPeer(t *testing.T) {
	app := newRawApp(t)
	w := newWorld(t)
	b := w.start("callee-1", map[uint16]string{80: app.Addr().String()}, func(n *node, _ *proxy.Options) { n.cfg.Ports[0].Proto = traffic.HTTP1 })
	var fields []string
	for l := range strings.SplitSeq(strings.TrimSuffix(forged, "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(strings.ToLower(l), ": ")
		if name != "weft-port" && name != "weft-proto" {
			fields = append(fields, name, value)
		}
	}
	if status := downgraded(t, w, b, fields, ""); status != "200" {
		t.Fatal(status)
	}
	hold(t, "the request", app.saw()[0], "x-forwarded-for: 6.6.6.6\r\n|By=spiffe://cluster.local/ns/default/sa/callee;URI=spiffe://cluster.local/ns/default/sa/caller\r\n|!x-envoy|!l5d-|!weft-|!spiffe://forged")
}

// TestForgedByTunnel: what a foreign proxy says beside a tunnel reaches nobody; what it sends inside is the application's own affair.
func TestForgedByTunnel(t *testing.T) {
	app := newRawApp(t)
	w := newWorld(t)
	b := w.start("callee-1", map[uint16]string{80: app.Addr().String()}, nil)
	c, err := w.stranger(identity.Of(domain, "default", "ztunnel"), b.tunnel, "h2")
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(bound)))
	_, err = io.WriteString(c, xhttp2.ClientPreface)
	must(t, err)
	f := xhttp2.NewFramer(c, c)
	must(t, f.WriteSettings())
	var fields []string
	for l := range strings.SplitSeq(strings.TrimSuffix(forged, "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(strings.ToLower(l), ": ")
		fields = append(fields, name, value)
	}
	must(t, f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndHeaders: true,
		BlockFragment: block(t, append([]string{":method", "CONNECT", ":authority", b.cfg.Addr.String() + ":80"}, fields...))}))
	must(t, f.WriteData(1, false, []byte(g+"\r\n")))
	if status := statusOf(t, f); status != "200" {
		t.Fatal(status)
	}
	eventually(t, "there", func() bool { return len(app.saw()) == 1 })
	if got := app.saw()[0]; got != g+"\r\n" {
		t.Errorf("%q", got)
	}
}

// TestTrusted: of a proxy in front of the mesh counts what it has seen itself, and what the trusted ones before it have.
func TestTrusted(t *testing.T) {
	app := newRawApp(t)
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	at := ways(t, app, trusted...)[2].at
	for _, x := range []struct{ xff, want string }{
		{"", "127.0.0.1"},
		{"1.2.3.4", "1.2.3.4, 127.0.0.1"},
		{"6.6.6.6, 1.2.3.4", "1.2.3.4, 127.0.0.1"},
		{"6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4, 10.1.1.1, 127.0.0.1"},
		{"6.6.6.6, 10.9.9.9, 1.2.3.4,10.1.1.1,fd00::1", "1.2.3.4,10.1.1.1,fd00::1, 127.0.0.1"},
		{"10.1.1.1, 10.1.1.2", "10.1.1.1, 10.1.1.2, 127.0.0.1"},
		{"1.2.3.4:5678", "1.2.3.4:5678, 127.0.0.1"},
		{"[2001:db8::1]:443, 10.1.1.1", "[2001:db8::1]:443, 10.1.1.1, 127.0.0.1"},
		{"1.2.3.4, unknown", "127.0.0.1"},
		{"1.2.3.4, unknown, 10.1.1.1", "10.1.1.1, 127.0.0.1"},
		{"6.6.6.6\r\nX-Forwarded-For: 1.2.3.4", "1.2.3.4, 127.0.0.1"},
		{"1.2.3.4,", "1.2.3.4,, 127.0.0.1"},
	} {
		app.next(okAnswer, false)
		field := ""
		if x.xff != "" {
			field = "X-Forwarded-For: " + x.xff + "\r\n"
		}
		talk(t, at, g+field+"X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Client-Cert: x\r\nX-Envoy-Internal: true\r\nWeft-Port: 1\r\n\r\n")
		all := app.saw()
		if len(all) != 1 {
			t.Fatalf("%q: %q", x.xff, all)
		}
		hold(t, fmt.Sprintf("%q", x.xff), all[0], "x-forwarded-for: "+x.want+"\r\n|x-forwarded-proto: https\r\n|x-forwarded-host: shop\r\n|!\r\nforwarded|!client-cert|!x-envoy|!weft-")
		if n := strings.Count(all[0], "x-forwarded-for"); n != 1 {
			t.Errorf("%q: %d fields", x.xff, n)
		}
	}
}
