package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/observe/metrics"
)

// serveHealth answers kubelets and whoever collects metrics. Ready is a replica that knows the whole cluster and does not leave.
func (r *replica) serveHealth(ctx context.Context, l net.Listener, asked context.Context) error {
	r.control.Metrics().NewGauge("weft_control_certificate_expiry_seconds", "When the certificate that the control plane serves with expires, in Unix time.",
		func() float64 { return float64(r.certificate.Until().Unix()) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-r.control.Synced():
		default:
			http.Error(w, "the cluster is being read", http.StatusServiceUnavailable)
			return
		}
		if asked.Err() != nil {
			http.Error(w, "it leaves", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", metrics.ContentType)
		_, _ = w.Write(r.control.Metrics().AppendNamed(nil))
	})
	return serveHTTP(ctx, l, &http.Server{Handler: mux})
}

// serveWebhook answers the API server about new pods.
func (r *replica) serveWebhook(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle(inject.Path, inTurn(inject.Handler(inject.Webhook{Options: r.injection, Namespace: r.namespaceOf, Foreign: r.foreign, Log: r.log}), r.isPod))
	return serveHTTP(ctx, tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.certificate.GetCertificate}), &http.Server{Handler: mux})
}

// isPod says whether an address is that of a pod, other than of those by which an API server may come.
func (r *replica) isPod(a netip.Addr) bool {
	namespace, ok := r.control.PodAt(a)
	return ok && namespace != "kube-system"
}

// readInjection reads the options anew whenever they are asked for; while they can't be read, those of before count. The trust domain is this mesh's,
// whatever the chart says by now.
func (r *replica) readInjection() (func() inject.Options, error) {
	read := func() (inject.Options, error) {
		text, err := os.ReadFile(r.inject)
		if err != nil {
			return inject.Options{}, err
		}
		o, err := inject.ParseOptions(text)
		o.TrustDomain = r.trustDomain
		return o, err
	}
	last, err := read()
	if err != nil {
		return nil, err
	}
	return func() inject.Options {
		now, err := read()
		if err != nil {
			r.log.Error("the options of injection cannot be read; those of the start count", "error", err)
			return last
		}
		return now
	}, nil
}

func (r *replica) namespaceOf(ctx context.Context, name string) (inject.Namespace, error) {
	o, err := r.cluster.Get(ctx, dialect.Key{Kind: "Namespace", Name: name})
	if err != nil {
		return inject.Namespace{}, err
	}
	meta, _ := o["metadata"].(map[string]any)
	return inject.Namespace{Name: name, Labels: texts(meta["labels"]), Annotations: texts(meta["annotations"])}, nil
}

// foreign are the meshes whose webhooks are there.
func (r *replica) foreign(ctx context.Context) (found []string, err error) {
	list, err := r.cluster.List(ctx, dialect.Key{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}, "")
	for _, o := range list {
		meta, _ := o["metadata"].(map[string]any)
		name, _ := meta["name"].(string)
		if mesh := inject.InjectorOf(name); mesh != "" && !slices.Contains(found, mesh) {
			found = append(found, mesh)
		}
	}
	return found, err
}

func texts(v any) map[string]string {
	out := map[string]string{}
	m, _ := v.(map[string]any)
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// Bounds of what is asked over HTTP: anybody in the cluster may connect.
const (
	headTime   = 10 * time.Second
	askTime    = 30 * time.Second
	mostHeader = 16 << 10
	lastWords  = 5 * time.Second // of answers under way when the replica ends
)

func serveHTTP(ctx context.Context, l net.Listener, s *http.Server) error {
	s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes = headTime, askTime, askTime, askTime, mostHeader
	ended := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if s.Shutdown(last) != nil {
			s.Close()
		}
	})()
	err := s.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		<-ended
		return nil
	}
	return err
}
