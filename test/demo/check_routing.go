package main

import (
	"fmt"
	"math"
	"os"
	"time"
)

const subsets = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
`

const reviewsURL = "http://reviews:9080/reviews/0"

// routes is a VirtualService of reviews with the http rules given.
func routes(rules string) string {
	return subsets + `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
` + rules
}

// only makes n calls, all of which one version has to answer.
func (c *checker) only(n int, version string, target string, header map[string]string) error {
	got, err := c.versions(n, target, header)
	if err == nil && got[version] != n {
		err = fmt.Errorf("%s %v: %v, want %s alone", target, header, got, version)
	}
	return err
}

func (c *checker) byHeader() (string, error) {
	jason := map[string]string{"end-user": "jason"}
	yaml := routes(`  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
`)
	return c.with("reviews", yaml, func() error { return c.only(8, "v1", reviewsURL, nil) }, func() (string, error) {
		if err := c.only(30, "v2", reviewsURL, jason); err != nil {
			return "", err
		}
		return "30 of 30 with end-user: jason to v2, 30 of 30 without to v1", c.only(30, "v1", reviewsURL, nil)
	})
}

func (c *checker) byPath() (string, error) {
	yaml := `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: reviews, namespace: default}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews, port: 9080}]
  rules:
  - matches: [{path: {type: Exact, value: /old}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /ratings/0}}}]
    backendRefs: [{name: ratings, port: 9080}]
  - backendRefs: [{name: reviews, port: 9080}]
`
	seen := func() error { _, err := c.expect("http://reviews:9080/old", nil, 200); return err }
	return c.with("path", yaml, seen, func() (string, error) {
		got, err := c.expect("http://reviews:9080/old", nil, 200)
		if service := got.Header.Get("x-bookinfo-service"); err == nil && service != "ratings" {
			err = fmt.Errorf("/old was answered by %q, want ratings", service)
		}
		if err != nil {
			return "", err
		}
		got, err = c.expect(reviewsURL, nil, 200)
		if service := got.Header.Get("x-bookinfo-service"); err == nil && service != "reviews" {
			err = fmt.Errorf("/reviews/0 was answered by %q", service)
		}
		return "/old to ratings, with its path rewritten; all else to reviews", err
	})
}

func (c *checker) byWeight() (string, error) {
	yaml := routes(`  - route:
    - {destination: {host: reviews, subset: v1}, weight: 80}
    - {destination: {host: reviews, subset: v3}, weight: 20}
`)
	seen := func() error {
		got, err := c.versions(20, reviewsURL, nil)
		if err == nil && got["v2"] > 0 {
			err = fmt.Errorf("v2 still answers: %v", got)
		}
		return err
	}
	return c.with("reviews", yaml, seen, func() (string, error) {
		const n, share = 600, 0.8
		got, err := c.versions(n, reviewsURL, nil)
		if err != nil {
			return "", err
		}
		bound := 5 * math.Sqrt(n*share*(1-share))
		if off := math.Abs(float64(got["v1"]) - n*share); off > bound || got["v1"]+got["v3"] != n {
			return "", fmt.Errorf("%v of %d, want 80 %% within %.0f", got, n, bound)
		}
		return fmt.Sprintf("v1 %d, v3 %d of %d (80 %% is %.0f ± %.0f)", got["v1"], got["v3"], n, n*share, bound), nil
	})
}

func (c *checker) fault() (string, error) {
	yaml := `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 555}, delay: {percentage: {value: 100}, fixedDelay: 200ms}}
    route: [{destination: {host: ratings}}]
  - route: [{destination: {host: ratings}}]
`
	jason := map[string]string{"end-user": "jason"}
	const target = "http://ratings:9080/ratings/0"
	seen := func() error { _, err := c.expect(target, jason, 555); return err }
	return c.with("fault", yaml, seen, func() (string, error) {
		at := time.Now()
		if _, err := c.expect(target, jason, 555); err != nil {
			return "", err
		}
		took := time.Since(at)
		if took < 200*time.Millisecond {
			return "", fmt.Errorf("the delay of 200 ms took %v", took)
		}
		_, err := c.expect(target, nil, 200)
		return fmt.Sprintf("jason gets 555 after %d ms, others 200", took.Milliseconds()), err
	})
}

// breaks has one of the two ratings answer with a status, until it is mended.
func (c *checker) breaks(status string) (mended func(), err error) {
	return func() { os.Remove(c.faults) }, os.WriteFile(c.faults, []byte(status), 0o644)
}

// retry has one of two endpoints fail, and then the only one: the first costs nobody a call, the second may not multiply the
// load.
func (c *checker) retry() (string, error) {
	yaml := `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: default}
spec: {host: ratings, subsets: [{name: flaky, labels: {role: flaky}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {to: {exact: flaky}}}]
    retries: {attempts: 3, retryOn: 5xx}
    headers: {response: {set: {x-retried: "yes"}}}
    route: [{destination: {host: ratings, subset: flaky}}]
  - retries: {attempts: 3, retryOn: 5xx}
    headers: {response: {set: {x-retried: "yes"}}}
    route: [{destination: {host: ratings}}]
`
	mended, err := c.breaks("503")
	if err != nil {
		return "", err
	}
	defer mended()
	const target = "http://ratings:9080/ratings/0"
	seen := func() error {
		got, err := c.call(target, nil)
		if err == nil && got.Header.Get("x-retried") == "" {
			err = fmt.Errorf("no retries yet: %+v", got)
		}
		return err
	}
	return c.with("retry", yaml, seen, func() (string, error) {
		for range 20 {
			if _, err := c.expect(target, nil, 200); err != nil {
				return "", fmt.Errorf("with one of two endpoints failing: %w", err)
			}
		}
		before, err := c.retries()
		if err != nil {
			return "", err
		}
		at := time.Now()
		const burst = 600
		for range burst {
			if _, err := c.expect(target, map[string]string{"to": "flaky"}, 503); err != nil {
				return "", err
			}
		}
		after, err := c.retries()
		// 20 % of the calls of 10 s, and 10 a second of those 10 s.
		bound := uint64((burst+100)/5 + 100 + 10*int(time.Since(at).Seconds()+1))
		if got := after - before; err == nil && (got == 0 || got > bound) {
			err = fmt.Errorf("%d retries in %d calls that all failed, the budget is %d", got, burst, bound)
		}
		return fmt.Sprintf("20 of 20 answered with one of two endpoints failing; %d calls that all failed made %d retries, the budget is %d",
			burst, after-before, bound), err
	})
}

// retries counts those of the calling workload.
func (c *checker) retries() (n uint64, err error) {
	s, _, err := c.numbers("caller", "")
	if err != nil {
		return 0, err
	}
	for _, e := range s.Edges {
		n += e.Retries
	}
	return n, nil
}

func (c *checker) outlier() (string, error) {
	yaml := `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: default}
spec:
  host: ratings
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 3s, maxEjectionPercent: 100}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - retries: {attempts: 0}
    headers: {response: {set: {x-outlier: "yes"}}}
    route: [{destination: {host: ratings}}]
`
	const target = "http://ratings:9080/ratings/0"
	seen := func() error {
		got, err := c.call(target, nil)
		if err == nil && got.Header.Get("x-outlier") == "" {
			err = fmt.Errorf("not in effect: %+v", got)
		}
		return err
	}
	return c.with("outlier", yaml, seen, func() (string, error) {
		mended, err := c.breaks("500")
		if err != nil {
			return "", err
		}
		defer mended()
		bad, at := 0, time.Now()
		for range 30 {
			got, err := c.call(target, nil)
			if err != nil {
				return "", err
			}
			if got.Status == 500 {
				bad++
			}
		}
		most := 3 * (1 + int(time.Since(at)/(3*time.Second))) // on a slow machine it is back meanwhile, and out again
		if at = time.Now(); bad < 3 || bad > most {
			return "", fmt.Errorf("%d of 30 calls reached the failing endpoint, want 3", bad)
		}
		mended()
		instances := map[string]int{}
		err = c.eventually(func() error {
			got, err := c.expect(target, nil, 200)
			if err != nil {
				return err
			}
			if instances[got.Header.Get("x-bookinfo-instance")]++; len(instances) < 2 {
				return fmt.Errorf("only %v answer", instances)
			}
			return nil
		})
		return fmt.Sprintf("out after %d of 30 calls, back after %.1f s", bad, time.Since(at).Seconds()), err
	})
}
