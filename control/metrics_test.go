package control

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
)

func TestMetrics(t *testing.T) {
	p := run(t, newCity().options(t, 0, newFeed(synced(parse(t, twoServices+reviewsPod)))))
	s, err := p.open("reviews-1")
	if err != nil {
		t.Fatal(err)
	}
	x := &proxy{t: t, s: s}
	x.want(config.Name(config.KindWorkload, "shop/reviews-1"))
	x.take(stream.Up{Ack: x.next().Nonce, Refused: []stream.Nack{{Name: config.Name(config.KindWorkload, "shop/reviews-1"), Error: "no"}}})
	_, _ = p.Open(t.Context(), &stream.Hello{Workload: "shop/reviews-1", Token: "nonsense"})
	text := string(p.Metrics().AppendNamed(nil))
	for _, line := range []string{
		"weft_control_proxies 1", `weft_control_sessions_total{outcome="accepted"} 1`, `weft_control_sessions_total{outcome="refused"} 1`,
		`weft_control_pushes_total{kind="workload"} 1`, `weft_control_refusals_total{kind="workload"} 1`, "weft_control_refused 1", "weft_control_errors 0",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
}
