package linkerd

import (
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/mesh"
)

// profileSpec is ServiceProfile.spec.
type profileSpec struct {
	Routes       []profileRoute `json:"routes"`
	RetryBudget  *retryBudget   `json:"retryBudget"`
	DstOverrides []struct {
		Authority string            `json:"authority"`
		Weight    resource.Quantity `json:"weight"`
	} `json:"dstOverrides"`
	OpaquePorts []any `json:"opaquePorts"`
}

type profileRoute struct {
	Name            string          `json:"name"`
	Condition       *requestMatch   `json:"condition"`
	ResponseClasses []responseClass `json:"responseClasses"`
	IsRetryable     bool            `json:"isRetryable"`
	Timeout         string          `json:"timeout"`
}

type retryBudget struct {
	RetryRatio          float64 `json:"retryRatio"`
	MinRetriesPerSecond int64   `json:"minRetriesPerSecond"`
	TTL                 string  `json:"ttl"`
}

func serviceProfileKind(trustDomain string) dialect.Kind {
	s := shape[profileSpec]().Require("spec.retryBudget.retryRatio", "spec.retryBudget.minRetriesPerSecond", "spec.retryBudget.ttl").
		SetType("spec.routes[].timeout", schema.DurationType).SetType("spec.retryBudget.ttl", schema.DurationType)
	return dialect.Kind{Dialect: decision.Linkerd, Group: profileGroup, Name: "ServiceProfile", Versions: []string{"v1alpha2", "v1alpha1"},
		Schema: s, Lower: lowering(trustDomain, (*reader).serviceProfile), Renamed: profileNames(),
		Fields: []string{"spec.routes[].condition.*", "spec.routes[].timeout", "spec.routes[].isRetryable",
			"spec.routes[].responseClasses[].condition.*", "spec.routes[].responseClasses[].isFailure",
			"spec.retryBudget.retryRatio", "spec.retryBudget.minRetriesPerSecond", "spec.retryBudget.ttl"},
		Ignored: map[string]string{"spec.routes[].name": "it names the route in Linkerd's metrics; weft's records name the object and the route's number",
			"status.*": "controllers write it"},
		Unsupported: map[string]string{
			"spec.dstOverrides": "calls are not split by a ServiceProfile; weights of an HTTPRoute of the Gateway API split them",
			"spec.opaquePorts":  "the annotation config.linkerd.io/opaque-ports of the Service says it",
		}}
}

// profileNames are what authors of ServiceProfiles write in place of its fields.
func profileNames() map[string]string {
	names := map[string]string{
		"spec.retry":             "write isRetryable: true in the routes whose calls may be repeated, and bound the retries of all by retryBudget",
		"spec.retry[].condition": "a route that isRetryable repeats what its responseClasses call a failure; without any, statuses from 500 on",
		"spec.retry[].backoff":   "there is no such setting: retryBudget alone bounds how often calls are repeated",
		"spec.retry[].retries":   "there is no such setting: retryBudget alone bounds how often calls are repeated",
		"spec.retries":           "write isRetryable: true in the routes whose calls may be repeated, and bound the retries of all by retryBudget",
		"spec.timeout":           "spec.routes[].timeout",
		"spec.routes[].retry":    "isRetryable",
		"spec.routes[].retries":  "isRetryable",
		"spec.routes[].path":     "condition.pathRegex",
		"spec.routes[].method":   "condition.method",

		"spec.routes[].condition.path":             "pathRegex",
		"spec.routes[].condition.status":           "a status is of an answer: write it below responseClasses[].condition, beside this condition",
		"spec.routes[].condition.status.isFailure": "isFailure stands beside the condition of a response class",

		"spec.routes[].responseClasses[].isSuccess": "write isFailure: false, or nothing: that is what an answer is unless a class calls it a failure",
		"spec.routes[].responseClasses[].status":    "condition.status",

		"spec.retryBudget.ratio":         "retryRatio",
		"spec.retryBudget.percent":       "retryRatio, where 0.2 is 20 percent",
		"spec.retryBudget.budgetPercent": "retryRatio, where 0.2 is 20 percent",
		"spec.retryBudget.window":        "ttl",
	}
	for _, at := range []string{"spec.routes[].condition.status", "spec.routes[].responseClasses[].condition.status"} {
		names[at+".range"] = "write min and max into status itself"
		names[at+".range.begin"], names[at+".range.end"] = "write it as min in status itself", "write it as max in status itself"
		names[at+".code"] = "min and max, both of that status"
	}
	return names
}

// serviceProfile lowers a ServiceProfile. In the service's own namespace it is for all who call; in another, for that one's.
func (r *reader) serviceProfile() (part mesh.Part) {
	var spec profileSpec
	name, namespace, ok := r.service()
	if !r.Spec(&spec) || !ok {
		return part
	}
	p := mesh.Profile{Ref: r.Ref, Created: r.Object.Created, Host: r.Object.Name}
	if namespace != r.Object.Namespace {
		p.Consumer = r.Object.Namespace
	}
	if r.View.Get("", "Service", namespace, name) == nil {
		r.NoService("metadata.name", fmt.Sprintf("there is no Service %s in the namespace %s: the profile has no effect", name, namespace), namespace, name, "")
	}
	budget, retries := r.budget(spec.RetryBudget)
	for i := range spec.Routes {
		if rule, ok := r.profileRule(i, &spec.Routes[i], retries); ok {
			p.Rules = append(p.Rules, rule)
		}
	}
	if p.Budget = budget; len(p.Rules) == 0 && budget == nil {
		return part
	}
	part.Profiles = []mesh.Profile{p}
	return part
}

// service takes apart the object's name, which is the full name of a service.
func (r *reader) service() (name, namespace string, ok bool) {
	if name, namespace, ok = dialect.ServiceOf(r.Object.Name); ok {
		return name, namespace, true
	}
	short, rest, _ := strings.Cut(r.Object.Name, ".")
	if rest, _, _ = strings.Cut(rest, "."); rest == "" {
		rest = r.Object.Namespace
	}
	r.Warn("metadata.name", fmt.Sprintf("%s is not the full name of a service: the profile has no effect", r.Object.Name),
		"call it "+dialect.Host(short, rest))
	return "", "", false
}

// profileRule lowers a route; false: no call can match it.
func (r *reader) profileRule(i int, p *profileRoute, retries bool) (rule mesh.Rule, ok bool) {
	field := dialect.Index("spec.routes", i)
	ref := r.Ref.At(dialect.Index("routes", i))
	if p.Name == "" {
		r.Warn(field+".name", "required, and not there: Linkerd refuses the object", "name the route, as name: GET /books")
	}
	matches, ok := r.matches(field+".condition", p.Condition)
	if !ok {
		return rule, false
	}
	rule = mesh.Rule{Rule: route.Rule{Ref: ref, Matches: matches}, Timeout: r.timeout(field+".timeout", ref, p.Timeout),
		Classify: r.classes(field, ref, p.ResponseClasses)}
	if p.IsRetryable && retries {
		rule.Retry = &retry.Policy{Ref: ref, Attempts: manyAttempts, Failed: true, Backoff: shortPause}
	}
	return rule, true
}

// manyAttempts: a call is repeated while the budget lets it, which no count bounds in Linkerd. 255 is the most that a call here
// counts. Attempts that got no answer are not repeated by isRetryable, and bodies over 64 KiB are not kept; both is what
// retry.Policy means when unset.
const manyAttempts = 255

// shortPause is where pauses between attempts begin. Linkerd makes none; with the usual ones a call that fails each time would take
// 12 s to spend the 100 retries that a budget has by default, with these 0.5 s.
const shortPause = time.Millisecond

func (r *reader) timeout(field string, ref decision.Ref, text string) *timeout.Policy {
	d, _ := time.ParseDuration(text) // the schema has seen to what is no duration
	switch {
	case d < 0:
		r.Refuse(field, "a duration can't be negative", "")
	case d > 0:
		return &timeout.Policy{Ref: ref, Limit: d}
	}
	return nil
}

// budget lowers a retry budget; nil is the mesh's own, which is Linkerd's: a fifth of the calls, and 10 a second. false: nothing
// is to be repeated, since Linkerd's proxy drops a budget that it does not like, and routes without one make no retries.
func (r *reader) budget(b *retryBudget) (*retry.Budget, bool) {
	if b == nil {
		return nil, true
	}
	ttl, _ := time.ParseDuration(b.TTL)
	const off = "the budget is dropped, and no route is retried, as in Linkerd"
	switch {
	case b.RetryRatio < 0:
		r.Refuse("spec.retryBudget.retryRatio", "a ratio can't be negative", "")
		return nil, false
	case b.MinRetriesPerSecond < 0 || b.MinRetriesPerSecond > math.MaxInt32:
		r.Refuse("spec.retryBudget.minRetriesPerSecond", fmt.Sprintf("%d retries a second can't be", b.MinRetriesPerSecond), "")
		return nil, false
	case b.RetryRatio > 1000:
		r.Warn("spec.retryBudget.retryRatio", "a ratio over 1000 can't be: "+off, "0.2 is 20 percent")
		return nil, false
	case ttl < time.Second || ttl > time.Minute:
		r.Warn("spec.retryBudget.ttl", b.TTL+" is outside of 1s to 60s: "+off, "write a duration from 1s to 60s")
		return nil, false
	}
	percent := uint32(math.Round(b.RetryRatio * 100))
	if percent == 0 && b.RetryRatio > 0 {
		percent = 1
		r.Info("spec.retryBudget.retryRatio", "a share below 0.01 counts as 0.01", "")
	}
	return &retry.Budget{Ref: r.Ref.At("retryBudget"), Window: ttl, Percent: &percent, MinPerSecond: new(uint32(b.MinRetriesPerSecond))}, true
}
