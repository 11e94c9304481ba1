package transcript

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/explain"
)

const remembered = `-- mesh/shop.yaml --
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    connectionPool: {http: {http2MaxRequests: 1}}
    outlierDetection: {consecutive5xxErrors: 2, maxEjectionPercent: 50}
-- workloads --
frontend
shop-1 service=shop
shop-2 service=shop
`

// TestOften: how often each outcome is had is looked at, and where.
func TestOften(t *testing.T) {
	for _, x := range []struct{ line, got string }{
		{"times=4 => 2 times 200 at shop-1 | 2 times 200 at default/shop-2", ""},
		{"times=4 => 1 time 200 at shop-1 | 3 times 200 at shop-2", "2 times 200 shop because mesh default at default/shop-1 | 2 times"},
		{"times=4 => at least 2 times 200 at shop-1 | at most 2 times 200", ""},
		{"times=4 => at least 3 times 200 at shop-1 | at most 2 times 200", "2 times 200"},
		{"times=4 => at least 1 time 200 at shop-1 | at most 1 time 200", "2 times 200"},
		{"times=400 => 50% 200 at shop-1 | 50% 200 at shop-2", ""},
		{"times=400 => 80% 200 at shop-1 | 20% 200 at shop-2", "200 times 200"},
		{"times=4 => 200 at one endpoint", "2 times 200"},
		{"times=4 => 200 | 503", "2 times 200"},
		{"times=4 => 200 at shop-1", "2 times 200"},
		{"times=4 => 200", ""},
		{"times=2 beside=1 => 503 because DestinationRule default/shop trafficPolicy.connectionPool", ""},
		{"beside=1 => 200", "503 shop because DestinationRule"},
		{"answering=500 => 500 counts failure by mesh default", ""},
		{"answering=500 => 500 counts success", "500 shop"},
		{"=> 200 at shop-2", "at default/shop-1"},
		{"x={n} times=2 => 1 time 200 sees x=1 | 1 time 200 sees x=2", ""},
	} {
		line := "from frontend GET http://shop/ " + x.line
		failed := run(t, remembered+"-- calls --\n"+line+"\n")
		switch {
		case x.got == "" && len(failed) > 0:
			t.Errorf("%s: %v", line, &failed[0])
		case x.got != "" && (len(failed) != 1 || !strings.Contains(failed[0].Got, x.got)):
			t.Errorf("%s: %v, wanted to hear of %s", line, failed, x.got)
		}
	}
}

// TestInOrder: calls in order share what proxies remember, calls and other sections do not, and what fails is named by its line.
func TestInOrder(t *testing.T) {
	const eject = "-- calls in order --\nshop-1 answers 500\nfrom frontend GET http://shop/ times=10 => 2 times 500 at shop-1 | 8 times 200\n"
	const call = "from frontend GET http://shop/ times=4 => 200 at shop-2\n"
	for name, x := range map[string]struct {
		text string
		line int // that fails
	}{
		"before it is back":  {eject + "after 29s\n" + call, 0},
		"when it is back":    {eject + "after 30s\n" + call, 19},
		"in another section": {eject + "-- calls in order --\n" + call, 19},
		"by itself":          {eject + "-- calls --\n" + call, 19},
		"nobody answers":     {"-- calls in order --\nshop-1 refuses\nfrom frontend GET http://shop/ times=4 => 200 at shop-2\n", 0},
		"time is taken":      {"-- calls in order --\nshop-1 takes 29s\n" + strings.TrimPrefix(eject, "-- calls in order --\n"), 0},
	} {
		failed := run(t, remembered+x.text)
		if x.line == 0 && len(failed) > 0 || x.line > 0 && (len(failed) != 1 || failed[0].Line != x.line) {
			t.Errorf("%s: %v", name, failed)
		}
	}
}

// TestOrderOfStrangers: steps that name who is not there cannot be taken.
func TestOrderOfStrangers(t *testing.T) {
	for _, line := range []string{"nobody refuses", "from nobody GET http://shop/ => 200", "from frontend GET http://shop/ => 200\nnobody answers 500"} {
		f, err := Parse("t", []byte(remembered+"-- calls in order --\n"+line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Run(); err == nil || !strings.Contains(err.Error(), `there is no workload "nobody"`) || !strings.HasPrefix(err.Error(), "t:1") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestTimeOfCalls: the time that calls take is time that passes.
func TestTimeOfCalls(t *testing.T) {
	f, err := Parse("t", []byte(remembered+"-- calls in order --\nfrom frontend GET http://shop/ taking=2s times=3 => 200\nafter 1m\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewSession(f.Load().Mesh)
	for i := range f.Orders[0] {
		if _, err := s.Do(&f.Orders[0][i]); err != nil {
			t.Fatal(err)
		}
	}
	if took := s.now.Sub(Now); took != 66*time.Second {
		t.Errorf("%v passed", took)
	}
}

// TestJar: a cookie takes the place of the one that had its name: a thousand calls do not send it a thousand times.
func TestJar(t *testing.T) {
	var j Jar
	for _, set := range []string{"a=1; Path=/", "ab=2", "a=3", "c"} {
		j.Keep(&explain.Branch{Returns: [][2]string{{"set-cookie", set}, {"x", "a=4"}}})
	}
	if got := strings.Join(j, "; "); got != "a=3; ab=2; c" {
		t.Errorf("kept: %s", got)
	}
}
