package corpus_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/internal/meshtest"
	"github.com/weft-mesh/weft/test/corpus"
)

// shop is the workloads of the sample, as Istio's files select them.
var shop = []string{
	"productpage-v1 service=productpage version=v1 account=bookinfo-productpage ports=9080",
	"details-v1 service=details version=v1 account=bookinfo-details ports=9080",
	"details-v2 service=details version=v2 account=bookinfo-details ports=9080",
	"ratings-v1 service=ratings version=v1 account=bookinfo-ratings ports=9080",
	"ratings-v2 service=ratings version=v2 account=bookinfo-ratings ports=9080",
	"reviews-v1 service=reviews version=v1 account=bookinfo-reviews ports=9080",
	"reviews-v2 service=reviews version=v2 account=bookinfo-reviews ports=9080",
	"reviews-v3 service=reviews version=v3 account=bookinfo-reviews ports=9080",
}

func to(service, rest string) string {
	return "from productpage-v1 GET http://" + service + ":9080/" + service + "/0 " + rest
}

// networking is what each file about routing does, by its name.
var networking = map[string][]string{
	"destination-rule-all.yaml":      {to("reviews", "=> 200 reviews")},
	"destination-rule-all-mtls.yaml": {to("reviews", "=> 200 reviews")},
	"destination-rule-reviews.yaml":  {to("reviews", "=> 200 reviews")},
	"virtual-service-all-v1.yaml": {to("reviews", "=> 200 reviews subset v1 because VirtualService default/reviews http[0]"),
		to("ratings", "=> 200 ratings subset v1"), to("details", "=> 200 details subset v1"), to("productpage", "=> 200 productpage subset v1")},
	"virtual-service-details-v2.yaml": {to("details", "=> 200 details subset v2")},
	"virtual-service-ratings-db.yaml": {to("reviews", "=> 200 reviews subset v3"), to("ratings", "=> 200 ratings subset v2")},
	// Nobody runs these: a subset without endpoints answers 503.
	"virtual-service-ratings-mysql.yaml":    {to("reviews", "=> 200 reviews subset v3"), to("ratings", "=> 503 ratings subset v2-mysql because mesh default, no endpoint")},
	"virtual-service-ratings-mysql-vm.yaml": {to("reviews", "=> 200 reviews subset v3"), to("ratings", "=> 503 ratings subset v2-mysql-vm because mesh default, no endpoint")},
	"virtual-service-ratings-test-abort.yaml": {to("ratings", "end-user=jason => 500 because VirtualService default/ratings http[0]"),
		to("ratings", "=> 200 ratings subset v1 because VirtualService default/ratings http[1]")},
	"virtual-service-ratings-test-delay.yaml": {to("ratings", "=> 200 ratings subset v1")}, // who waits 7 s: TestDelay
	"virtual-service-reviews-50-v3.yaml":      {to("reviews", "=> 50% 200 reviews subset v1 | 50% 200 reviews subset v3")},
	"virtual-service-reviews-80-20.yaml":      {to("reviews", "=> 80% 200 reviews subset v1 | 20% 200 reviews subset v2")},
	"virtual-service-reviews-90-10.yaml":      {to("reviews", "=> 90% 200 reviews subset v1 | 10% 200 reviews subset v2")},
	"virtual-service-reviews-v2-v3.yaml":      {to("reviews", "=> 50% 200 reviews subset v2 | 50% 200 reviews subset v3")},
	"virtual-service-reviews-jason-v2-v3.yaml": {to("reviews", "end-user=jason => 200 reviews subset v2"),
		to("reviews", "=> 200 reviews subset v3")},
	"virtual-service-reviews-test-v2.yaml": {to("reviews", "end-user=jason => 200 reviews subset v2"), to("reviews", "=> 200 reviews subset v1")},
	"virtual-service-reviews-v3.yaml":      {to("reviews", "=> 200 reviews subset v3")},
	"fault-injection-details-v1.yaml":      {to("details", "=> 555 because VirtualService default/details http[0]")},
	// About gateways and what is outside of the mesh: calls within it go as before.
	"bookinfo-gateway.yaml":        {to("productpage", "=> 200 productpage")},
	"certmanager-gateway.yaml":     {to("productpage", "=> 200 productpage")},
	"egress-rule-google-apis.yaml": {to("productpage", "=> 200 productpage")},
}

// gatewayAPI is the same for the files of the Gateway API.
var gatewayAPI = map[string][]string{
	"route-all-v1.yaml": {to("reviews", "=> 200 reviews-v1"), to("ratings", "=> 200 ratings-v1"), to("details", "=> 200 details-v1"),
		to("productpage", "=> 200 productpage-v1")},
	"route-reviews-50-v3.yaml": {to("reviews", "=> 50% 200 reviews-v1 | 50% 200 reviews-v3")},
	"route-reviews-90-10.yaml": {to("reviews", "=> 90% 200 reviews-v1 | 10% 200 reviews-v2")},
	"route-reviews-v1.yaml":    {to("reviews", "=> 200 reviews-v1")},
	"route-reviews-v3.yaml":    {to("reviews", "=> 200 reviews-v3")},
	"bookinfo-gateway.yaml":    {to("productpage", "=> 200 productpage")},
}

// said is what a finding has to say of the files that weft cannot do yet, or that refer to what is not there.
var said = map[string][]string{
	"networking/certmanager-gateway.yaml":     {"VirtualService istio-system/cert-manager", "no Service and no ServiceEntry has the host cert-manager-resolver"},
	"gateway-api/bookinfo-gateway.yaml":       {"default/bookinfo-gateway", "there is no GatewayClass istio"},
	"networking/egress-rule-google-apis.yaml": {"ServiceEntry default/googleapis", "services outside of the mesh cannot be added yet"},
}

// TestIstioRouting applies each file to the running shop in turn.
func TestIstioRouting(t *testing.T) {
	dir := corpus.Dir(t, "istio", "bookinfo", "networking")
	m := meshtest.New(t)
	m.Run(shop...)
	rules := corpus.Read(t, dir, "destination-rule-all.yaml")
	inTurn(t, m, dir, networking, func(name string) string {
		if strings.HasPrefix(name, "virtual-service-") {
			return rules
		}
		return ""
	})
}

// TestGatewayRouting does so with those of the Gateway API, whose backends are Services of their own.
func TestGatewayRouting(t *testing.T) {
	dir := corpus.Dir(t, "istio", "bookinfo", "gateway-api")
	m := meshtest.New(t, corpus.Read(t, dir, "..", "platform", "kube", "bookinfo-versions.yaml"))
	m.Run(shop...)
	inTurn(t, m, dir, gatewayAPI, func(string) string { return "" })
}

// inTurn has every file of a folder do what is expected of it.
func inTurn(t *testing.T, m *meshtest.Mesh, dir string, expected map[string][]string, with func(name string) string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want, known := expected[f.Name()]
		if !known {
			t.Errorf("%s: nothing is expected of it", f.Name())
			continue
		}
		objects := []string{corpus.Read(t, dir, f.Name())}
		if more := with(f.Name()); more != "" {
			objects = append(objects, more)
		}
		t.Log(f.Name())
		m.Apply(objects...)
		m.Expect(want...)
		if words := said[filepath.Base(dir)+"/"+f.Name()]; words != nil {
			m.Finding(words...)
		}
		m.Delete(objects...)
		m.Expect(to("reviews", "=> 200 reviews")) // nothing is left of it
	}
}

// TestDelay: jason's calls are held up for 7 s, and nobody else's.
func TestDelay(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 7 s")
	}
	t.Parallel()
	dir := corpus.Dir(t, "istio", "bookinfo", "networking")
	m := meshtest.New(t, corpus.Read(t, dir, "destination-rule-all.yaml"), corpus.Read(t, dir, "virtual-service-ratings-test-delay.yaml"))
	m.Run(shop...)
	m.Expect(to("ratings", "=> 200 ratings subset v1 because VirtualService default/ratings http[1]"))
	a := m.Get("productpage-v1", "http://ratings:9080/ratings/0", "end-user=jason")
	if d := a.Caller.Took; a.Status != 200 || d < 7*time.Second {
		t.Errorf("%d after %v", a.Status, d)
	}
}

// TestDelayJudged finds the same without waiting.
func TestDelayJudged(t *testing.T) {
	dir := corpus.Dir(t, "istio", "bookinfo", "networking")
	f := &transcript.File{Name: "delay"}
	for _, name := range []string{"destination-rule-all.yaml", "virtual-service-ratings-test-delay.yaml"} {
		f.Configs = append(f.Configs, txtar.File{Name: name, Data: []byte(corpus.Read(t, dir, name))})
	}
	for _, line := range shop {
		w, err := transcript.ParseWorkload(line)
		if err != nil {
			t.Fatal(err)
		}
		f.Workloads = append(f.Workloads, w)
	}
	c, err := transcript.ParseCall(to("ratings", "end-user=jason => 200 ratings subset v1"))
	if err != nil {
		t.Fatal(err)
	}
	ways, err := transcript.Judge(f.Load().Mesh, &c)
	if err != nil || len(ways) != 1 {
		t.Fatal(err, ways)
	}
	for _, s := range ways[0].Steps {
		if s.Stage == "fault" && s.Took && strings.Contains(s.Note, "7s") {
			return
		}
	}
	t.Errorf("no step holds the call up: %+v", ways[0].Steps)
}
