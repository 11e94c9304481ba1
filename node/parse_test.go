package node

import (
	"net/netip"
	"os"
	"testing"
)

func FuzzParse(f *testing.F) {
	h := &Handoff{Address: netip.MustParseAddr("127.64.0.5"), Outbound: []*os.File{nil, nil}, DNS: []*os.File{nil}, DNSStream: []*os.File{nil}}
	passed, files := h.Pass(3)
	if passed != "127.64.0.5/3,4/5/6/7" || len(files) != 5 {
		f.Fatal(passed, len(files))
	}
	for _, s := range []string{passed, "::1/3/4/5/6", "////", "1.2.3.4/3,,4/5/6/7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		_, groups, err := parse(arg)
		if err != nil {
			return
		}
		for _, g := range groups {
			for _, n := range g {
				if n < 3 {
					t.Errorf("%q names descriptor %d", arg, n)
				}
			}
		}
	})
}
