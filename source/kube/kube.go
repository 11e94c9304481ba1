// Package kube is weft's one door to a Kubernetes API server: where objects come from, and where weft writes what it has to say.
//
// It promises: reading costs the API server one list and one watch for each kind, and weft what its readers ask for (dialect.Pruner); what
// is known stays in force while the API server is away, and nothing is said to be all before each kind has been listed; a kind that
// may not be read is a finding that names the verb, the resource and the remedy; a write takes no field from another writer but
// those that weft itself applies, and overwrites no change that it has not seen. Errors name what was asked for, and why the
// API server said no; those of things that are not there wrap ErrAbsent.
package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ErrAbsent is wrapped where an object is not there, or the API server knows no such kind.
var ErrAbsent = errors.New("there is no such thing")

// Options says which cluster to reach, and as whom.
type Options struct {
	Kubeconfig string       // a file; empty: the pod's own cluster, else what KUBECONFIG names, else ~/.kube/config
	Context    string       // of the kubeconfig; empty: its current one
	UserAgent  string       // [weft]
	Manager    string       // [weft] by which the API server knows which fields this writer has written: one for each program
	Log        *slog.Logger // [slog.Default()]
}

// Cluster is an API server, and the right to use it. Its methods are safe for concurrent use.
type Cluster struct {
	config   *rest.Config
	manager  string
	http     *http.Client
	log      *slog.Logger
	dynamic  dynamic.Interface
	metadata metadata.Interface
	typed    kubernetes.Interface
	catalog  *catalog
	reviews  chan struct{} // holds as many as there are TokenReviews under way
	refused  refused
}

// Open reads how to reach a cluster. Nothing is sent before it is asked for.
func Open(o Options) (*Cluster, error) {
	config, err := load(o)
	if err != nil {
		return nil, err
	}
	c, err := open(config, o)
	if err == nil {
		quiet(c.log)
	}
	return c, err
}

func load(o Options) (*rest.Config, error) {
	if o.Kubeconfig == "" && o.Context == "" {
		config, err := rest.InClusterConfig()
		if !errors.Is(err, rest.ErrNotInCluster) {
			if err != nil {
				err = fmt.Errorf("reaching the cluster of this pod: %w; does the pod mount its service account's token?", err)
			}
			return config, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, errors.New("no cluster is named: this is no pod, and there is no kubeconfig; set KUBECONFIG, or name the file")
	case err != nil:
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return config, nil
}

// Requests per second, and how many at once above that. Lists and watches are few; what is written may be many statuses at a time.
const (
	perSecond = 100
	burst     = 200
)

// reviewsAtOnce bounds the TokenReviews under way, when all proxies come back at once.
const reviewsAtOnce = 64

func open(config *rest.Config, o Options) (*Cluster, error) {
	config = rest.CopyConfig(config)
	if config.UserAgent = o.UserAgent; o.UserAgent == "" {
		config.UserAgent = "weft"
	}
	config.QPS, config.Burst = perSecond, burst
	c := &Cluster{config: config, manager: cmp.Or(o.Manager, manager), log: o.Log, reviews: make(chan struct{}, reviewsAtOnce)}
	if c.log == nil {
		c.log = slog.Default()
	}
	var err error
	if c.http, err = rest.HTTPClientFor(config); err != nil {
		return nil, fmt.Errorf("how to reach %s: %w", config.Host, err)
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, c.http); err != nil {
		return nil, fmt.Errorf("how to reach %s: %w", config.Host, err)
	}
	if c.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), c.http); err != nil {
		return nil, fmt.Errorf("how to reach %s: %w", config.Host, err)
	}
	unlimited := rest.CopyConfig(config) // a proxy waits for its TokenReview, and the lease for its renewal: not behind statuses
	unlimited.QPS = -1
	unlimited.ContentType = "application/json" // as all else here: these requests are few and small
	if c.typed, err = kubernetes.NewForConfigAndClient(unlimited, c.http); err != nil {
		return nil, fmt.Errorf("how to reach %s: %w", config.Host, err)
	}
	c.catalog = &catalog{config: unlimited, http: c.http}
	return c, nil
}

// Host is the address of the API server.
func (c *Cluster) Host() string { return c.config.Host }

// Version is the version of the API server, as "v1.36.3".
func (c *Cluster) Version(ctx context.Context) (string, error) {
	lister, err := c.catalog.within(ctx)
	if err != nil {
		return "", err
	}
	v, err := lister.ServerVersion()
	if err != nil {
		return "", c.explain("asking for the version", err)
	}
	return v.GitVersion, nil
}

// Clock is what the API server takes the time to be, in whole seconds, and how long it took to ask: the two clocks differ by no
// more than what is between them and half of that.
func (c *Cluster) Clock(ctx context.Context) (now time.Time, took time.Duration, err error) {
	u, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return now, 0, fmt.Errorf("how to reach %s: %w", c.config.Host, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("version").String(), nil)
	if err != nil {
		return now, 0, err
	}
	begun := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return now, 0, c.explain("asking for the time", err)
	}
	resp.Body.Close()
	took = time.Since(begun)
	if now, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		return now, took, fmt.Errorf("asking %s for the time: it says none: %w", c.config.Host, err)
	}
	return now, took, nil
}
