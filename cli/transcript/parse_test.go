package transcript

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

func TestParseCall(t *testing.T) {
	c, err := ParseCall(`from web/frontend POST http://shop:8080/a%20b?x=1 X-Env=test "x-text=two words" answering=503 taking=1s failing=2 => ` +
		`200 shop subset v2 grpc 14 attempts 3 copied to audit copied to shop subset v3 because VirtualService default/shop http[0] (istio) ` +
		`sees path=/new x-gone= returns x-by=weft`)
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{Status: 200, Target: "shop", Subset: "v2", GRPC: "14", Tries: 3, Copies: []Copy{{"audit", ""}, {"shop", "v3"}},
		Because: "VirtualService default/shop http[0] (istio)", Sees: [][2]string{{"path", "/new"}, {"x-gone", ""}}, Returns: [][2]string{{"x-by", "weft"}}}
	if c.From != "web/frontend" || c.Method != "POST" || c.URL.String() != "http://shop:8080/a%20b?x=1" || c.Proto != traffic.HTTP1 || c.Status != 503 ||
		c.Takes != time.Second || c.Fail != 2 || !reflect.DeepEqual(c.Header, [][2]string{{"x-env", "test"}, {"x-text", "two words"}}) {
		t.Errorf("%+v", c)
	}
	if len(c.Outcomes) != 1 || !reflect.DeepEqual(c.Outcomes[0], want) {
		t.Errorf("the outcome is %+v", c.Outcomes)
	}
}

func TestParseOutcomes(t *testing.T) {
	c, err := ParseCall("from outside TCP db:5432 to db at=192.0.2.1 => 80% ok db | 20% refused because X")
	if err != nil {
		t.Fatal(err)
	}
	if c.From != Outside || c.To != "db" || c.At != netip.MustParseAddr("192.0.2.1") || c.Proto != traffic.TCP || c.Method != "" || c.URL.Host != "db:5432" {
		t.Errorf("%+v", c)
	}
	want := []Outcome{{Share: 80, OK: true, Target: "db"}, {Share: 20, Refused: true, Because: "X"}}
	if !reflect.DeepEqual(c.Outcomes, want) {
		t.Errorf("%+v", c.Outcomes)
	}
	if c, err = ParseCall("from a GRPC http://b/s.S/M => 200"); err != nil || c.Proto != traffic.GRPC || c.Method != "POST" {
		t.Errorf("%+v %v", c, err)
	}
}

func TestParseWorkload(t *testing.T) {
	w, err := ParseWorkload("web/reviews-v2 service=reviews version=v2 account=readers ports=9080,7000/tcp protocol=grpc trusted=10.0.0.0/8,::1/128 team=a")
	want := Workload{Name: "reviews-v2", Namespace: "web", Service: "reviews", Version: "v2", Account: "readers", Labels: map[string]string{"team": "a"},
		Ports: []uint16{9080, 7000}, Protocol: "grpc", Protocols: map[uint16]string{7000: "tcp"},
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	if err != nil || !reflect.DeepEqual(w, want) {
		t.Errorf("%+v %v", w, err)
	}
	if _, err := ParseWorkload("a trusted=10.0.0.1"); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
		t.Errorf("an address without bits: %v", err)
	}
	r := w.Registration()
	if len(r.Trusted) != 2 || len(r.Ports) != 2 || r.Ports[0].Protocol != "grpc" || r.Ports[1].Protocol != "tcp" {
		t.Errorf("%+v", r)
	}
	if w, err = ParseWorkload("frontend"); err != nil || w.Namespace != "default" || w.Service != "frontend" || w.Account != "frontend" || w.Ports[0] != 80 {
		t.Errorf("%+v %v", w, err)
	}
}

// TestParseErrors: what is wrong is named with its file and line.
func TestParseErrors(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"-- notes --\n", `t:1: section "notes" is none of`},
		{"-- calls --\nfrom a GET http://b/\n", "t:2: want: from WORKLOAD METHOD URL"},
		{"-- calls --\n\n# a comment\nfrom a GET b => 200\n", `t:4: "b" is no URL`},
		{"-- calls --\nfrom a GET http://b/ x => 200\n", `"x": want HEADER=VALUE`},
		{"-- calls --\nfrom a GET http://b/ answering=soon => 200\n", "answering"},
		{"-- calls --\nfrom a GET http://b/ taking=long => 200\n", "taking"},
		{"-- calls --\nfrom a GET http://b/ taking=-1h => 200\n", "want a time of up to"},
		{"-- calls --\nfrom a GET http://b/ failing=-1 => 200\n", "failing: \"-1\": want a number of 1 to"},
		{"-- calls --\nfrom a GET http://b/ answering=1000 => 200\n", "answering: \"1000\": want a number of 1 to"},
		{"-- calls --\nfrom a GET http://b/ at=home => 200\n", "at"},
		{"-- calls --\nfrom outside GET http://b/ => 200\n", "to WORKLOAD"},
		{"-- calls --\nfrom a GET http://b/ => well\n", `"well": want a status`},
		{"-- calls --\nfrom a GET http://b/ => 200 b c\n", `"c" is not understood`},
		{"-- calls --\nfrom a GET http://b/ => 200 subset\n", "subset: what follows it is missing"},
		{"-- calls --\nfrom a GET http://b/ => 200 copied shop\n", "copied to SERVICE"},
		{"-- calls --\nfrom a GET http://b/ => 200 sees x\n", `"x": want NAME=VALUE`},
		{"-- calls --\nfrom a GET http://b/ => 50% 200 |\n", ""},
		{"-- calls --\nfrom a GET http://b/ => 50% | 200\n", "an outcome is empty"},
		{"-- calls --\nfrom a GET \"http://b/ => 200\n", "a quote is not closed"},
		{"-- workloads --\na b\n-- calls --\nfrom a GET http://b/ => 200\n", `t:2: "b": want KEY=VALUE`},
		{"-- calls --\nfrom a GET http://b/ => 2 times 200\n", "times=N says"},
		{"-- calls --\nfrom a GET http://b/ => 200 at one endpoint\n", "times=N says"},
		{"-- calls --\nfrom a GET http://b/ times=3 => 1 time 200 | 1 time 503\n", "the outcomes are of 2 calls, and times=3"},
		{"-- calls --\nfrom a GET http://b/ times=3 => at least 200\n", "want at least N times"},
		{"-- calls --\nfrom a GET http://b/ times=9999 => 200\n", "want a number of 1 to 1000"},
		{"-- calls --\nfrom a GET http://b/ beside=-1 => 200\n", "want a number of 1 to 100"},
		{"-- calls --\nfrom a GET http://b/ keeping=all => 200\n", "cookies is all that can be kept"},
		{"-- calls --\nfrom a GET http://b/ => 200 at\n", "which workload is missing"},
		{"-- calls --\nfrom a GET http://b/ => 200 counts twice\n", "want counts failure or counts success"},
		{"-- calls in order --\nfrom a GET http://b/ => 200\nafter\n", "t:3: want: from WORKLOAD"},
		{"-- calls in order --\nafter -1s\n", "want a time of up to"},
		{"-- calls in order --\nafter soon\n", `"soon": want a time of up to 24h0m0s, as 30s`},
		{"-- calls in order --\nb answers 700\n", "want a number of 1 to 599"},
		{"-- calls in order --\nb answers slowly\n", `"slowly": want a number of 1 to 599`},
		{"-- calls in order --\nfrom a GET http://b/ => 200\n-- calls in order --\nb sleeps\n", "t:4: want: from WORKLOAD"},
		{"-- calls in order --\nfrom a GET http://b/ => 200\n", ""},
		{"-- workloads --\na ports=80,x\n-- calls --\nfrom a GET http://b/ => 200\n", `port "x"`},
	} {
		_, err := Parse("t", []byte(x.text))
		if x.want == "" {
			if err != nil {
				t.Errorf("%q: %v", x.text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: %v, want %s", x.text, err, x.want)
		}
	}
}

// FuzzParse: a transcript that is read can be run, whatever is in it.
// A transcript without anything to check can be read, by one who only asks about its mesh, and is none to run.
func TestNothingToTest(t *testing.T) {
	f, err := Parse("t", []byte("-- workloads --\na\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Run(); err == nil || !strings.Contains(err.Error(), "t: there is neither a section") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-- a.yaml --\nkind: Service\n-- workloads --\na ports=80,81/tcp\nb\n-- calls --\nfrom a GET http://b/ x=y => 80% 200 b | 20% refused\n-- findings --\na.yaml:1 x\n")
	f.Add("-- calls --\nfrom outside TCP b:1 to b at=192.0.2.1 => ok sees path=\n")
	f.Add("-- workloads --\na\nb\n-- calls --\nfrom a GET http://b/?x={n} times=2 beside=1 keeping=cookies => 1 time 200 at b counts success by x | at most 1 times 503\n")
	f.Add("-- workloads --\na\nb\n-- calls in order --\nb answers 503\nfrom a GET http://b/ times=3 => 100% 503 at one endpoint\nafter 30s\nb takes 1s\nb refuses\n" +
		"-- calls in order --\nfrom outside TCP b:1 to b => refused\n")
	f.Add("-- calls --\nfrom a GET \"http://b/\\\"\" => 200 copied to c subset d because e grpc 1 attempts 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("t", []byte(text))
		if err != nil || len(file.Workloads) > 20 || many(file) {
			return
		}
		_, _, _ = file.Run() // it may name what is not there
	})
}

// many says whether a file has so many calls that they would keep a fuzzer from others.
func many(f *File) bool {
	n := 0
	for i := range f.Calls {
		n += f.Calls[i].Times + f.Calls[i].Beside
	}
	for _, order := range f.Orders {
		for i := range order {
			if c := order[i].Call; c != nil {
				n += c.Times + c.Beside
			}
		}
	}
	return n > 100
}
