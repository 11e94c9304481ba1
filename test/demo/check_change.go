package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/weft-mesh/weft/proxy/held"
)

// underLoad runs a change while requests are sent at a steady rate, one every 5 ms: none may fail.
func (c *checker) underLoad(target string, change func() (string, error)) (string, error) {
	l := startLoad(c.current, "http://"+c.caller+"/http?url="+url.QueryEscape(target), 5*time.Millisecond, func(body string) error {
		if !strings.Contains(body, `"status":200`) {
			return errors.New("the call inside failed")
		}
		return nil
	})
	err := c.eventually(l.more(20))
	var figures string
	if err == nil {
		figures, err = change()
	}
	err = errors.Join(err, c.eventually(l.more(30)))
	l.stop()
	if err == nil && l.failed.Load() > 0 {
		err = errors.New("requests failed")
	}
	if err != nil {
		return "", fmt.Errorf("%w (%s)", err, l.figures())
	}
	return figures + "; " + l.figures(), nil
}

func (c *checker) changes() (string, error) {
	defer c.remove("reviews")
	return c.underLoad(reviewsURL, func() (string, error) {
		for i := range 10 {
			v := []string{"v1", "v2", "v3"}[i%3]
			if _, err := c.apply("reviews", routes("  - route: [{destination: {host: reviews, subset: "+v+"}}]\n")); err != nil {
				return "", err
			}
			if err := c.eventually(func() error { return c.only(3, v, reviewsURL, nil) }); err != nil {
				return "", fmt.Errorf("change %d: %w", i+1, err)
			}
		}
		return "10 changes", nil
	})
}

func (c *checker) remove(name string) { os.Remove(c.file(name)) }

func (c *checker) badChange() (string, error) {
	defer c.remove("reviews")
	good := routes("  - route: [{destination: {host: reviews, subset: v2}}]\n")
	if _, err := c.apply("reviews", good); err != nil {
		return "", err
	}
	if err := c.eventually(func() error { return c.only(3, "v2", reviewsURL, nil) }); err != nil {
		return "", err
	}
	return c.underLoad(reviewsURL, func() (string, error) {
		if _, err := c.apply("reviews", routes("  - route: [{destination: {host: reviews, subset: v2}, weight: many}]\n")); err != nil {
			return "", err
		}
		var said string
		err := c.eventually(func() error {
			s, err := c.status()
			if err != nil {
				return err
			}
			for _, f := range s.Findings {
				if f.Ref.Name == "reviews" && strings.Contains(f.Field, "weight") {
					said = f.String()
					return nil
				}
			}
			return errors.New("no finding names the field")
		})
		if err != nil {
			return "", err
		}
		if err := c.only(20, "v2", reviewsURL, nil); err != nil {
			return "", fmt.Errorf("the last good version is not in force: %w", err)
		}
		if _, err := c.apply("reviews", "{ this is: [no YAML"); err != nil {
			return "", err
		}
		time.Sleep(500 * time.Millisecond)
		return "finding: " + strings.ReplaceAll(said, c.Config+"/", ""), c.only(20, "v2", reviewsURL, nil)
	})
}

// moved sends a route to a service that no proxy has asked for before.
func (c *checker) moved() (string, error) {
	defer c.remove("details")
	gone, err := c.apply("never", `apiVersion: v1
kind: Service
metadata: {name: never-called, namespace: default}
spec: {selector: {app: details}, ports: [{port: 9080, name: http}]}
`)
	if err != nil {
		return "", err
	}
	defer gone()
	return c.underLoad("http://details:9080/details/0", func() (string, error) {
		_, err := c.apply("details", `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details, namespace: default}
spec:
  hosts: [details]
  http:
  - headers: {response: {set: {x-moved: "yes"}}}
    route: [{destination: {host: never-called}}]
`)
		if err != nil {
			return "", err
		}
		return "moved", c.eventually(func() error {
			got, err := c.expect("http://details:9080/details/0", nil, 200)
			if err == nil && got.Header.Get("x-moved") == "" {
				err = errors.New("not moved")
			}
			return err
		})
	})
}

func (c *checker) rotated() (string, error) {
	_, ratings, err := c.numbers("ratings", "v1")
	if err != nil {
		return "", err
	}
	tunnel := net.JoinHostPort(ratings.Address, "15008")
	before, _ := stranger(tunnel)
	return c.underLoad(reviewsURL, func() (string, error) {
		out, err := c.Command(c.current, "identity", "rotate")
		if err != nil {
			return "", err
		}
		s, err := c.status()
		if err != nil {
			return "", err
		}
		if s.Rotation != "steady" {
			return "", fmt.Errorf("the rotation is %s: %s", s.Rotation, out)
		}
		after, _ := stranger(tunnel)
		if before == nil || after == nil || issuer(before) == issuer(after) {
			return "", fmt.Errorf("%s showed a certificate of %s and shows one of %s", tunnel, issuer(before), issuer(after))
		}
		return fmt.Sprintf("certificates of %s, then of %s", issuer(before), issuer(after)), nil
	})
}

func issuer(c *x509.Certificate) string {
	if c == nil {
		return "nobody"
	}
	return c.Issuer.CommonName
}

// killed kills the control plane without warning and starts it again: none of the proxies may hold fewer endpoints at any time.
func (c *checker) killed() (string, error) {
	return c.underLoad(reviewsURL, func() (string, error) {
		before, err := c.held()
		if err != nil {
			return "", err
		}
		c.Up.Kill()
		time.Sleep(2 * time.Second)
		at := time.Now()
		if err := c.StartUp(c.current); err != nil {
			return "", err
		}
		var fewer error
		err = c.eventually(func() error {
			after, err := c.held()
			if fewer = less(before, after, false); fewer != nil {
				return nil
			}
			return err
		})
		if err = errors.Join(fewer, err); err != nil {
			return "", err
		}
		back := time.Since(at)
		time.Sleep(500 * time.Millisecond) // for what it has still to say
		after, err := c.held()
		return fmt.Sprintf("away 2 s, all %d workloads back after %.1f s; %d resources at their proxies, none with fewer endpoints than before", len(c.Runs), back.Seconds(), len(before)),
			errors.Join(err, less(before, after, true))
	})
}

// held counts what each proxy holds of each service; an error says who is not there. What those who are there hold is counted all
// the same.
func (c *checker) held() (map[string]int, error) {
	s, err := c.status()
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	if n := len(s.Proxies); n != len(c.Runs) {
		err = fmt.Errorf("%d workloads are registered, want %d", n, len(c.Runs))
	}
	for _, p := range s.Proxies {
		if !p.Connected {
			err = fmt.Errorf("%s is not connected", p.Workload)
		}
		var list []held.Resource
		if err := c.admin(p.Admin, "/config", &list); err != nil {
			return nil, err
		}
		for _, h := range list {
			out[p.Workload+" of "+h.Name] = h.Endpoints
		}
	}
	return out, err
}

// less says where there are fewer endpoints than before; whole: who does not tell has none.
func less(before, after map[string]int, whole bool) error {
	for name, n := range before {
		if m, told := after[name]; m < n && (told || whole) {
			return fmt.Errorf("%s held %d endpoints, and holds %d", name, n, m)
		}
	}
	return nil
}

func (c *checker) workloadKilled() (string, error) {
	return c.underLoad("http://ratings:9080/ratings/0", func() (string, error) {
		c.flaky.Kill()
		return "one of two ratings killed", c.eventually(func() error {
			s, err := c.status()
			if err != nil {
				return err
			}
			n := 0
			for _, p := range s.Proxies {
				if p.Service == "ratings" {
					n++
				}
			}
			if n != 1 {
				return fmt.Errorf("%d ratings are registered", n)
			}
			return nil
		})
	})
}

// counted compares what the mesh counted with what the load counted.
func (c *checker) counted() (string, error) {
	count := func() (n uint64, err error) {
		s, _, err := c.numbers("productpage", "")
		if err != nil {
			return 0, err
		}
		for _, e := range s.Edges {
			if e.Reporter == "destination" {
				n += e.Calls
			}
		}
		return n, nil
	}
	before, err := count()
	if err != nil {
		return "", err
	}
	l := startLoad(c.current, "http://"+c.page+"/productpage", 10*time.Millisecond, nil)
	time.Sleep(2 * time.Second)
	l.stop()
	var after uint64
	err = c.eventually(func() (err error) {
		if after, err = count(); err == nil && after-before != uint64(l.sent.Load()) {
			err = fmt.Errorf("the mesh counted %d, the load %d", after-before, l.sent.Load())
		}
		return err
	})
	return fmt.Sprintf("%d counted by the mesh, %d by the load", after-before, l.sent.Load()), err
}
