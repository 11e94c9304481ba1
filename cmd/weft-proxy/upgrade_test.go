package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/upgrade"
)

// TestInheritChecks: a process that lacks anything says what, and does not serve.
func TestInheritChecks(t *testing.T) {
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := sys.Duplicate(l)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.CloseFD(fd)
	config := func(change func(*launch.Config)) []byte {
		c := &launch.Config{Workload: "default/a-1", Account: "a", Control: t.TempDir() + "/mesh.sock", App: netip.MustParseAddr("127.64.0.1"), Inbound: 7, Ready: 9, Starter: 99}
		change(c)
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	same := func(*launch.Config) {}
	for _, x := range []struct {
		name   string
		legacy upgrade.Legacy
		want   string
	}{
		{"no configuration of its start", upgrade.Legacy{}, "configuration of the process before"},
		{"half of it", upgrade.Legacy{Config: config(func(c *launch.Config) { c.Account = "" })}, "account"},
		{"no listener", upgrade.Legacy{Config: config(same)}, "did not pass on descriptor 7 (inbound)"},
		{"a door is missing", upgrade.Legacy{Config: config(func(c *launch.Config) { c.Doors = "127.64.0.1/7/7/7/8" }), FDs: map[int]int{7: fd}}, "did not pass on descriptor 8 (door)"},
		{"no state", upgrade.Legacy{Config: config(same), FDs: map[int]int{7: fd}}, "the workload's own configuration has not arrived"},
		{"a state that is none", upgrade.Legacy{Config: config(same), State: []byte{0xff}, FDs: map[int]int{7: fd}}, "config: "},
	} {
		s, err := inherit(&launch.Config{TakeOver: 5}, &x.legacy)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
		if s != nil {
			t.Errorf("%s: there is a proxy", x.name)
		}
	}
}
