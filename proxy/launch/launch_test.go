package launch

import (
	"fmt"
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

// FuzzRead: what is no configuration is refused, and one that was read passes the pipe as it is.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "{}", "[]", `{"takeOver":5}`, `{"takeOver":-1}`,
		`{"workload":"a/b","account":"c","control":"/s","app":"127.0.0.1"}`,
		`{"workload":"a/b","account":"c","control":"/s","app":"::1%eth0","drain":-3,"inbound":-1,"admin":"\u0000"}`,
		`{"workload":"a/b","account":"c","control":"/s","app":"10.0.0.1","trusted":["10.0.0.0/8",""],"resolvers":["127.0.0.1:53"],"published":[{"fd":5,"port":80}]}`,
		`{"workload":"a/b","account":"c","control":"/s","app":"10.0.0.1","listeners":[{"fd":4,"original":"[::1]:80"},{"fd":4}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Read(strings.NewReader(s))
		if err != nil {
			return
		}
		if c.TakeOver <= 0 && (c.Workload == "" || c.Account == "" || c.Control == "" || !c.App.IsValid() || c.TrustDomain == "") {
			t.Fatalf("%q is taken for a configuration: %+v", s, c)
		}
		r, err := Pipe(c)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		again, err := Read(r)
		if err != nil {
			t.Fatalf("%+v is not read again: %v", c, err)
		}
		if a, b := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", again); a != b {
			t.Fatalf("%s, and then %s", a, b)
		}
	})
}
