package linkerd_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const booksHost = "books.shop.svc.cluster.local"

// profileOf writes a ServiceProfile in the namespace shop.
func profileOf(name, spec string) string {
	return "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: " + name + ", namespace: shop}\nspec:\n  " +
		strings.ReplaceAll(strings.Trim(spec, "\n"), "\n", "\n  ")
}

func profile(spec string) string { return profileOf(booksHost, spec) }

func TestServiceProfile(t *testing.T) {
	part, found := lower(t, profile(`
routes:
- name: GET /books
  condition: {method: GET, pathRegex: /books}
  timeout: 300ms
  isRetryable: true
  responseClasses:
  - condition: {status: {min: 404, max: 404}}
    isFailure: true
  - condition: {status: {min: 500, max: 599}}
- name: all
  condition: {pathRegex: "/.*"}
retryBudget: {retryRatio: 0.25, minRetriesPerSecond: 3, ttl: 15s}`))
	expect(t, found, "")
	sp := ref("ServiceProfile", booksHost, "")
	r0 := sp.At("routes[0]")
	want := []mesh.Profile{{Ref: sp, Created: dialecttest.Created, Host: booksHost,
		Budget: &retry.Budget{Ref: sp.At("retryBudget"), Percent: new(uint32(25)), MinPerSecond: new(uint32(3)), Window: 15 * time.Second},
		Rules: []mesh.Rule{{
			Rule: route.Rule{Ref: r0, Matches: []match.Request{{Methods: []match.String{{Value: "GET"}},
				Paths: []match.String{{Value: "/books"}}}}},
			Timeout: &timeout.Policy{Ref: r0, Limit: 300 * time.Millisecond},
			Retry:   &retry.Policy{Ref: r0, Attempts: 255, Failed: true, Backoff: time.Millisecond},
			Classify: &classify.Policy{Ref: r0, Classes: []classify.Class{
				{Ref: sp.At("routes[0].responseClasses[0]"), Match: classify.Condition{Status: &classify.Statuses{Min: 404, Max: 404}}},
				{Ref: sp.At("routes[0].responseClasses[1]"), Match: classify.Condition{Status: &classify.Statuses{Min: 500, Max: 599}}, Success: true},
			}},
		}, {
			Rule: route.Rule{Ref: sp.At("routes[1]"), Matches: []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "/.*"}}}}},
		}}}}
	if d := dialecttest.Diff(want, part.Profiles); d != "" {
		t.Error(d)
	}
}

// In the service's own namespace a profile is for all callers; in another it is for callers of that one alone.
func TestServiceProfileOfCallers(t *testing.T) {
	all, _ := lower(t, profile("routes: [{name: a, condition: {method: GET}}]"))
	own, _ := lower(t, strings.Replace(profile("routes: [{name: a, condition: {method: GET}}]"), "namespace: shop", "namespace: web", 1))
	if all.Profiles[0].Consumer != "" || own.Profiles[0].Consumer != "web" || own.Profiles[0].Host != booksHost {
		t.Errorf("%+v, %+v", all.Profiles, own.Profiles)
	}
}

func TestServiceProfileFindings(t *testing.T) {
	for _, c := range []struct {
		name, doc, want string
		profiles        int
	}{
		{"no such service", profileOf("films.shop.svc.cluster.local", "routes: [{name: a, condition: {method: GET}}]"),
			"warning metadata.name: there is no Service films in the namespace shop", 1},
		{"no full name", profileOf("books", "routes: [{name: a, condition: {method: GET}}]"),
			"warning metadata.name: call it books.shop.svc.cluster.local", 0},
		{"no cluster", profileOf("books.web.svc", "routes: [{name: a, condition: {method: GET}}]"),
			"warning metadata.name: call it books.web.svc.cluster.local", 0},
		{"another cluster", profileOf("books.shop.svc.example.org", "routes: []"), "warning metadata.name: call it books.shop.svc.cluster.local", 0},
		{"not of a service", profileOf("a.books.shop.svc.cluster.local", "routes: []"), "warning metadata.name: is not the full name", 0},
		{"not supported", profile("{dstOverrides: [{authority: a.b, weight: 500m}], opaquePorts: ['80'], routes: [{name: a, condition: {method: GET}}]}"), `
warning spec.dstOverrides: weights of an HTTPRoute
warning spec.opaquePorts: config.linkerd.io/opaque-ports`, 1},
		{"no name, and no condition", profile("routes: [{timeout: 1s}, {name: a, condition: {method: GET}}]"), `
warning spec.routes[0].name: required
warning spec.routes[0].condition: no call matches the route`, 1},
		{"timeout without unit", profile(`routes: [{name: a, condition: {method: GET}, timeout: "5"}]`), `error spec.routes[0].timeout: add a unit: "5s"`, 0},
		{"negative timeout", profile("routes: [{name: a, condition: {method: GET}, timeout: -5s}]"), "error spec.routes[0].timeout: negative", 0},
		{"a part of a budget", profile("retryBudget: {retryRatio: 0.1}"), `
error spec.retryBudget.minRetriesPerSecond: required
error spec.retryBudget.ttl: required`, 0},
		{"negative ratio", profile("retryBudget: {retryRatio: -0.1, minRetriesPerSecond: 1, ttl: 10s}"), "error spec.retryBudget.retryRatio: negative", 0},
		{"negative minimum", profile("retryBudget: {retryRatio: 0.1, minRetriesPerSecond: -1, ttl: 10s}"), "error spec.retryBudget.minRetriesPerSecond: -1", 0},
		{"nothing at all", profile("retryBudget: {retryRatio: 0, minRetriesPerSecond: 0, ttl: 10s}"), "", 1},
		{"a small share", profile("retryBudget: {retryRatio: 0.001, minRetriesPerSecond: 0, ttl: 10s}"), "info spec.retryBudget.retryRatio: 0.01", 1},
		{"empty", profile("routes: []"), "", 0},
		{"slips", profile("{timeout: 5s, routes: [{name: a, condition: {path: /, method: GET}, retry: true}], retryBudget: {retryRatio: 0.1, minRetriesPerSecond: 1, ttl: 10s, window: 5s}}"), `
warning spec.timeout: spec.routes[].timeout
warning spec.routes[0].condition.path: pathRegex
warning spec.routes[0].retry: isRetryable
warning spec.retryBudget.window: ttl`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, found := lower(t, c.doc)
			if len(part.Profiles) != c.profiles {
				t.Errorf("%d profiles, wanted %d", len(part.Profiles), c.profiles)
			}
			expect(t, found, c.want)
		})
	}
}

// "ttl outside 1–60s discards the budget and disables retries", as does a ratio over 1000.
func TestBudgetThatIsDiscardedDisablesRetries(t *testing.T) {
	const routes = "\nroutes: [{name: a, condition: {method: GET}, isRetryable: true, timeout: 1s}]"
	for budget, field := range map[string]string{
		"{retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 999ms}":    "ttl",
		"{retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 60s1ms}":   "ttl",
		"{retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 5m}":       "ttl",
		"{retryRatio: 1000.5, minRetriesPerSecond: 10, ttl: 10s}":   "retryRatio",
		"{retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 1s}":       "",
		"{retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 1m}":       "",
		"{retryRatio: 1000, minRetriesPerSecond: 10, ttl: 10000ms}": "",
	} {
		part, found := lower(t, profile("retryBudget: "+budget+routes))
		p := part.Profiles[0]
		if field == "" {
			expect(t, found, "")
			if p.Budget == nil || p.Rules[0].Retry == nil {
				t.Errorf("%s: %+v", budget, p)
			}
			continue
		}
		expect(t, found, "warning spec.retryBudget."+field+": no route is retried")
		if p.Budget != nil || p.Rules[0].Retry != nil || p.Rules[0].Timeout == nil {
			t.Errorf("%s: %+v", budget, p)
		}
	}
}

// TestRatios: a budget counts in hundredths, rounded as a person would; a share that is there is never none.
func TestRatios(t *testing.T) {
	for ratio, want := range map[string]uint32{"0": 0, "0.001": 1, "0.009": 1, "0.014": 1, "0.016": 2, "0.29": 29, "0.57": 57, "1": 100, "1000": 100_000} {
		part, _ := lower(t, profile("retryBudget: {retryRatio: "+ratio+", minRetriesPerSecond: 7, ttl: 10s}"))
		if b := part.Profiles[0].Budget; *b.Percent != want || *b.MinPerSecond != 7 || b.Window != 10*time.Second {
			t.Errorf("%s: %d %%, %d a second, in %v; wanted %d %%", ratio, *b.Percent, *b.MinPerSecond, b.Window, want)
		}
	}
}

// "isRetryable never retries transport errors": the policy wants nothing made again that got no answer.
func TestRetryableIsAboutAnswers(t *testing.T) {
	part, _ := lower(t, profile("routes: [{name: a, condition: {method: GET}, isRetryable: true}]"))
	p := part.Profiles[0].Rules[0].Retry
	for _, err := range []error{traffic.ErrConnect, traffic.ErrRefused, traffic.ErrReset, traffic.ErrDeadline} {
		c := &traffic.Call{Attrs: *request("GET /")}
		if c.Response.Err = err; p.Wants(c, true) {
			t.Errorf("%v is retried", err)
		}
	}
	c := &traffic.Call{Attrs: *request("GET /")}
	if c.Response.Status = 503; !p.Wants(c, false) {
		t.Error("a failure is not retried")
	}
	if part.Profiles[0].Budget != nil {
		t.Error("a profile without a budget has the mesh's own, or what a DestinationRule says")
	}
}

// "first match wins, no match → 5xx rule": a class speaks of what it matches alone.
func TestResponseClasses(t *testing.T) {
	part, found := lower(t, profile(`
routes:
- name: a
  condition: {method: GET}
  responseClasses:
  - condition: {status: {min: 404}}
    isFailure: true
  - condition: {status: {max: 418}}
    isFailure: true
  - condition: {all: [{status: {min: 500, max: 599}}, {not: {status: {min: 503, max: 504}}}]}
  - condition: {any: [{status: {min: 503, max: 503}}, {status: {min: 429, max: 429}}]}
    isFailure: true
  - condition: {status: {min: 400, max: 499}}`))
	expect(t, found, "")
	p := part.Profiles[0].Rules[0].Classify
	for _, c := range []struct {
		status int
		failed bool
		class  string // empty: none
	}{
		{200, false, ""}, {504, false, ""},
		{404, true, "routes[0].responseClasses[0]"}, // of min alone: that one status
		{418, true, "routes[0].responseClasses[1]"},
		{500, false, "routes[0].responseClasses[2]"}, {503, true, "routes[0].responseClasses[3]"},
		{429, true, "routes[0].responseClasses[3]"}, // first match
		{400, false, "routes[0].responseClasses[4]"},
	} {
		call := &traffic.Call{}
		call.Response.Status = c.status
		failed, why, ok := p.Judge(call)
		if ok != (c.class != "") || failed != c.failed || ok && why.Rule != c.class {
			t.Errorf("%d: failed %v because %v", c.status, failed, why)
		}
	}
}

func TestResponseClassesThatMatchNothing(t *testing.T) {
	const class = "spec.routes[0].responseClasses[0].condition"
	for _, c := range []struct{ class, want string }{
		{"{isFailure: true}", "warning " + class + ": none of status"},
		{"{condition: {}}", "warning " + class + ": none of status"},
		{"{condition: {status: {}}}", "warning " + class + ".status: neither min nor max"},
		{"{condition: {all: []}}", "warning " + class + ".all: the list is empty"},
		{"{condition: {any: []}}", "warning " + class + ".any: the list is empty"},
		{"{condition: {any: [{status: {min: 500, max: 599}}, {not: {}}]}}", "warning " + class + ".any[1].not: none of status"},
		{"{condition: {status: {min: 99}}}", "error " + class + ".status.min: 99 is not a status"},
		{"{condition: {status: {min: 500, max: 600}}}", "error " + class + ".status.max: 600 is not a status"},
		{"{condition: {status: {min: 500, max: 400}}}", "error " + class + ".status.max: less than min"},
	} {
		part, found := lower(t, profile("routes: [{name: a, condition: {method: GET}, timeout: 1s, responseClasses: ["+c.class+"]}]"))
		expect(t, found, c.want)
		if strings.HasPrefix(c.want, "error") {
			if !part.Empty() {
				t.Errorf("%s is in force", c.class)
			}
		} else if part.Profiles[0].Rules[0].Classify != nil || part.Profiles[0].Rules[0].Timeout == nil {
			t.Errorf("%s: %+v", c.class, part.Profiles[0].Rules[0])
		}
	}
}

// conditions of a request, and the requests that they match.
func TestConditions(t *testing.T) {
	for _, c := range []struct{ condition, matches, not string }{
		{"{method: get}", "GET /,GET /a", "POST /"},
		{"{pathRegex: /a}", "GET /a,POST /a", "GET /ab,GET /,GET /a/"},
		{"{pathRegex: ' /a[0-9]+ '}", "GET /a12", "GET /a,GET /a1b,GET /b/a1"}, // trimmed, and whole
		{"{pathRegex: '^/a$'}", "GET /a", "GET /ab"},
		{"{pathRegex: '/(a|b)'}", "GET /a,GET /b", "GET /ab,GET /b/a"},
		{"{pathRegex: /a, method: POST}", "POST /a", "GET /a,POST /b"},
		{"{all: [{pathRegex: /a}, {method: POST}]}", "POST /a", "GET /a,POST /b"},
		{"{all: []}", "GET /", ""},
		{"{any: [{pathRegex: /a}, {method: POST}]}", "POST /b,GET /a", "GET /b"},
		{"{not: {method: GET}}", "POST /", "GET /"},
		{"{not: {not: {method: GET}}}", "GET /", "POST /"},
		{"{not: {all: [{method: GET}, {pathRegex: /a}]}}", "POST /a,GET /b", "GET /a"},
		{"{not: {any: [{method: GET}, {pathRegex: /a}]}}", "POST /b", "GET /b,POST /a"},
		{"{not: {any: []}}", "GET /", ""},
		{"{not: {any: [{pathRegex: /a}, {pathRegex: /b}]}}", "GET /c", "GET /a,GET /b"},
		{"{method: POST, not: {pathRegex: '/a.*'}}", "POST /b", "POST /a,GET /b"},
		{"{any: [{all: [{method: POST}, {pathRegex: '/authors/\\d+'}]}, {all: [{not: {method: DELETE}}, {pathRegex: /info.txt}]}]}",
			"POST /authors/12,GET /info.txt", "GET /authors/12,DELETE /info.txt"}, // of the reference
		{"{all: [{any: [{method: GET}, {method: HEAD}]}, {any: [{method: HEAD}, {method: PUT}]}]}", "HEAD /", "GET /,PUT /"},
		{"{all: [{pathRegex: /a}, {pathRegex: /a}]}", "GET /a", "GET /b"},
	} {
		part, found := lower(t, profile("routes: [{name: a, condition: "+c.condition+"}]"))
		expect(t, found, "")
		rule := &part.Profiles[0].Rules[0].Rule
		if err := rule.Compile(); err != nil {
			t.Fatal(err)
		}
		for head := range strings.SplitSeq(c.matches, ",") {
			if !rule.Match(request(head)) {
				t.Errorf("%s does not match %s", c.condition, head)
			}
		}
		for head := range strings.SplitSeq(c.not, ",") {
			if head != "" && rule.Match(request(head)) {
				t.Errorf("%s matches %s", c.condition, head)
			}
		}
	}
}

// Alternatives outside of parentheses: the anchors that Linkerd's proxy adds hold for the first and the last alone.
func TestAlternativesAreAnchoredAsInLinkerd(t *testing.T) {
	for re, is := range map[string]bool{"/a|/b": true, "^/a|/b$": true, `/a\|/b`: false, "/[|]a": false, "/[]|]a": false, "/[^]|]a": false,
		`/[\]|]a`: false, "/(?:a|b)": false} {
		part, found := lower(t, profile("routes: [{name: a, condition: {pathRegex: '"+re+"'}}]"))
		want := ""
		if is {
			want = "info spec.routes[0].condition.pathRegex: parentheses"
		}
		expect(t, found, want)
		if !is {
			continue
		}
		rule := &part.Profiles[0].Rules[0].Rule
		if err := rule.Compile(); err != nil {
			t.Fatal(err)
		}
		for head, want := range map[string]bool{"GET /a": true, "GET /abc": true, "GET /b": true, "GET /x/b": true, "GET /ba": false, "GET /x/a": false} {
			if rule.Match(request(head)) != want {
				t.Errorf("%s matches %s: %v", re, head, !want)
			}
		}
	}
}

// What can't be matched, or can't be expressed, matches no call, and says so.
func TestConditionsThatMatchNothing(t *testing.T) {
	const at = "spec.routes[0].condition"
	many := "{any: [" + strings.Repeat("{method: A}, {method: B}, {method: C}, {method: D}, ", 5) + "]}"
	for _, c := range []struct{ condition, want string }{
		{"{}", "warning " + at + ": it has none of"},
		{"{all: [{method: GET}, {}]}", "warning " + at + ".all[1]: it has none of"},
		{"{pathRegex: '('}", "warning " + at + ".pathRegex: missing closing )"},
		{`{pathRegex: '/\Qa'}`, "warning " + at + ".pathRegex: missing closing )"}, // it is none for a whole path
		{`{pathRegex: '/a|/\Qb'}`, "warning " + at + ".pathRegex: missing closing )"},
		{"{any: []}", "warning " + at + ": contradicts itself"},
		{"{all: [{method: GET}, {method: POST}]}", "warning " + at + ": contradicts itself"},
		{"{all: [{pathRegex: /a.*}, {pathRegex: '.*b'}]}", "warning " + at + ".all: can't be asked for together"},
		{"{all: [" + many + ", " + many + "]}", "warning " + at + ".all: more than 64"},
		{"{any: [" + strings.Repeat("{method: A}, ", 65) + "]}", "warning " + at + ".any: more than 64"},
		{"{not: [{method: GET}]}", "error " + at + ".not: an object is expected"},
	} {
		part, found := lower(t, profile("routes: [{name: a, condition: "+c.condition+"}, {name: b, condition: {method: GET}}]"))
		expect(t, found, c.want)
		if len(part.Profiles) > 0 && (len(part.Profiles[0].Rules) != 1 || part.Profiles[0].Rules[0].Ref.Rule != "routes[1]") {
			t.Errorf("%s: %+v", c.condition, part.Profiles[0].Rules)
		}
	}
}

// TestServiceProfileSeed: nothing of the published example that is wrong goes by in silence, and its one valid route counts.
func TestServiceProfileSeed(t *testing.T) {
	part, found := lower(t, profile(`
routes:
  - name: GET /
    condition:
      pathRegex: /
    responseClasses:
      - condition:
          status:
            range: {begin: 200, end: 299}
        isSuccess: true
  - condition:
      status:
        range: {begin: 500, end: 599}
        isFailure: true
retry:
  - condition: {status: {range: {begin: 500, end: 599}}}
    backoff: {baseInterval: 1s, maxInterval: 10s, jitter: 0.2}
    retries: {permanent: true, kind: ALL}`))
	expect(t, found, `
warning spec.routes[0].responseClasses[0].condition.status: neither min nor max
warning spec.routes[0].responseClasses[0].condition.status.range: write min and max into status itself
warning spec.routes[0].responseClasses[0].condition.status.range.begin: min
warning spec.routes[0].responseClasses[0].condition.status.range.end: max
warning spec.routes[0].responseClasses[0].isSuccess: isFailure: false
warning spec.routes[1].name: required
warning spec.routes[1].condition: no call matches the route
warning spec.routes[1].condition.status: responseClasses[].condition
warning spec.routes[1].condition.status.range: min and max
warning spec.routes[1].condition.status.range.begin: min
warning spec.routes[1].condition.status.range.end: max
warning spec.routes[1].condition.status.isFailure: beside the condition of a response class
warning spec.retry: isRetryable
warning spec.retry[0].condition: responseClasses
warning spec.retry[0].backoff: retryBudget
warning spec.retry[0].retries: retryBudget`)
	want := []mesh.Rule{{Rule: route.Rule{Ref: ref("ServiceProfile", booksHost, "routes[0]"), Matches: []match.Request{{Paths: []match.String{{Value: "/"}}}}}}}
	if d := dialecttest.Diff(want, part.Profiles[0].Rules); d != "" {
		t.Error(d)
	}
}

// With what the findings ask for, its class counts.
func TestServiceProfileSeedCorrected(t *testing.T) {
	part, found := lower(t, profile(`
routes:
  - name: GET /
    condition: {pathRegex: /}
    isRetryable: true
    responseClasses:
      - condition: {status: {min: 200, max: 299}}
      - condition: {status: {min: 500, max: 599}}
        isFailure: true
retryBudget: {retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 10s}`))
	expect(t, found, "")
	call := &traffic.Call{}
	call.Response.Status = 503
	failed, why, ok := part.Profiles[0].Rules[0].Classify.Judge(call)
	if !failed || !ok || *why != (decision.Ref{Dialect: decision.Linkerd, Kind: "ServiceProfile", Namespace: "shop", Name: booksHost,
		Rule: "routes[0].responseClasses[1]"}) {
		t.Errorf("%v, %v", failed, why)
	}
}
