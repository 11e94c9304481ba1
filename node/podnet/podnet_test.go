package podnet_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/node/podnet"
)

func TestParse(t *testing.T) {
	for _, x := range []struct {
		text string
		want podnet.Spec
		says string // an error's
	}{
		{text: `{}`},
		{text: `{"proxyUID":1,"excludeUIDs":[0,7],"includeInboundPorts":["80"],"excludeInboundPorts":[9090,"8000-8010"],"excludeOutboundPorts":["25"],
			"excludeOutboundCIDRs":["10.0.0.0/8","fd00::/8"]}`,
			want: podnet.Spec{ProxyUID: 1, ExcludeUIDs: []uint32{0, 7}, IncludeInboundPorts: []podnet.Ports{{First: 80, Last: 80}},
				ExcludeInboundPorts:  []podnet.Ports{{First: 9090, Last: 9090}, {First: 8000, Last: 8010}},
				ExcludeOutboundPorts: []podnet.Ports{{First: 25, Last: 25}},
				ExcludeOutboundCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}},
		{text: ``, says: "EOF"},
		{text: `{"excludeInbound":["80"]}`, says: "unknown field"},
		{text: `{"excludeInboundPorts":["http"]}`, says: "neither a port nor a range"},
		{text: `{"excludeInboundPorts":["0"]}`, says: "neither a port nor a range"},
		{text: `{"excludeInboundPorts":["90-80"]}`, says: "neither a port nor a range"},
		{text: `{"excludeInboundPorts":[65536]}`, says: "neither a port nor a range"},
		{text: `{"excludeOutboundCIDRs":["10.0.0.1"]}`, says: "10.0.0.1"},
		{text: `{"excludeOutboundCIDRs":[""]}`, says: "excludeOutboundCIDRs[0]"},
		{text: `{"excludeUIDs":[1],"excludeOutboundPorts":[1` + strings.Repeat(",1", 999) + `]}`, says: "1001 users, ports and addresses"},
	} {
		got, err := podnet.Parse(x.text)
		switch {
		case x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)):
			t.Errorf("%s: %v, want %q", x.text, err, x.says)
		case x.says == "" && err != nil:
			t.Errorf("%s: %v", x.text, err)
		case x.says == "" && !reflect.DeepEqual(*got, x.want):
			t.Errorf("%s: %+v", x.text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "{}", `{"excludeInboundPorts":[1,"2-3"],"excludeOutboundCIDRs":["::/0"]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := podnet.Parse(text)
		if err != nil {
			return
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := podnet.Parse(string(b))
		if err != nil {
			t.Fatalf("%s, of %q: %v", b, text, err)
		}
		if b2, _ := json.Marshal(again); string(b2) != string(b) {
			t.Errorf("%s became %s", b, b2)
		}
	})
}
