package launch

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestPipe(t *testing.T) {
	c := &Config{Workload: "default/a-1", Account: "a", TrustDomain: "example.org", Token: "t", Control: "/s", App: netip.MustParseAddr("127.64.0.1"), Drain: 9}
	for range 2000 { // more than a pipe holds
		c.Listeners = append(c.Listeners, Listener{FD: 7, Original: netip.MustParseAddrPort("240.0.0.1:80")})
	}
	f, err := Pipe(c)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Read(f)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":   "unexpected end",
		"{}": "required",
		`{"workload":"a/b","account":"c","control":"/s"}`: "no address",
	} {
		if _, err := Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
