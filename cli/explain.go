package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

type explainFlags struct {
	state, output, from, to, method, at, gateway string
	files, header                                []string
	considered, injected                         bool
	live                                         liveFlags
}

func explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain --from WORKLOAD --to URL",
		Short: "Say what would happen to a call, and which object and rule decides each step",
		Long: `Explain runs a call that is not made through the code that proxies run, and prints what is decided on its way: route,
rule, backend, timeouts and retries, the policies of both sides. It asks the control plane that weft up runs on this machine. With
--cluster it reads the objects of a Kubernetes cluster instead, as weft-control there does; with -f a transcript, which says which
workloads are taken to run, or files and directories with Pods among them, as kubectl get -o yaml prints them.

With --cluster whoever asks needs the right to list and watch what weft reads in the whole cluster, and with --gateway Secrets too.
weft need not be installed there: --injected shows what would be.`,
		Example: `  weft explain --from productpage --to http://reviews:9080/reviews/1 -H 'end-user: jason'
  weft explain --from productpage --to http://reviews:9080/ --considered
  weft explain -f mesh.txtar --from frontend --to http://backend/api
  weft explain --cluster --from shop/web --to http://api.shop/
  weft explain --context staging --injected --from shop/web --to http://api.shop/
  weft explain -f cluster.yaml --injected --from shop/web --to http://api.shop/
  weft explain --from orders --to tcp://database:5432
  weft explain --from outside --at 192.0.2.7 --to http://productpage:9080/productpage
  weft explain --from outside --gateway default/shop --to https://shop.example/`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := f.run(c)
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), f.output, b, func(w *tabwriter.Writer) { printBranches(w, b, f.considered) })
		},
	}
	c.Flags().StringVar(&f.from, "from", "", "the calling workload, its Deployment or the like, its label app, or its account: NAME or NAMESPACE/NAME; or outside, for a port that weft run --publish opens of the workload that --to names, or for --gateway (required)")
	c.Flags().StringVar(&f.to, "to", "", "what is called: http://SERVICE:PORT/PATH, grpc://..., tcp://SERVICE:PORT; what is outside of the mesh by its address; of a gateway https://..., tls://..., udp://... too (required)")
	c.Flags().StringVar(&f.gateway, "gateway", "", "the gateway that a call from outside comes to: NAMESPACE/NAME")
	c.Flags().StringVarP(&f.method, "method", "X", "GET", "HTTP method")
	c.Flags().StringArrayVarP(&f.header, "header", "H", nil, "header, as 'name: value'; may be given again")
	c.Flags().StringArrayVarP(&f.files, "file", "f", nil, "transcript (.txtar), or files, directories and - for standard input, to read instead of asking the control plane; may be given again")
	c.Flags().BoolVar(&f.considered, "considered", false, "also print the rules that were looked at and passed over")
	c.Flags().BoolVar(&f.injected, "injected", false, "with -f or --cluster: take Pods that have no proxy to have one, as after they are put into the mesh")
	c.Flags().StringVar(&f.at, "at", "", "address that a call from outside comes from; it is to be said where a policy asks for it")
	f.live.add(c)
	required(c, "from", "to")
	stateFlag(c, &f.state)
	outputFlag(c, &f.output)
	return c
}

// call is the flags as a line of a transcript would say it.
func (f *explainFlags) call() (*transcript.Call, error) {
	u, err := url.Parse(f.to)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("--to %q: want a URL as http://SERVICE:PORT/PATH", f.to)
	}
	c := &transcript.Call{From: f.from, Method: f.method, URL: u, Proto: traffic.HTTP1}
	if err := f.outside(c); err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http":
	case "https":
		if f.gateway == "" {
			return nil, fmt.Errorf("--to %q: TLS ends at gateways; say which one by --gateway NAMESPACE/NAME", f.to)
		}
	case "grpc":
		c.Proto, c.Method = traffic.GRPC, "POST"
	case "tcp", "tls":
		c.Proto, c.Method = traffic.TCP, ""
	case "udp":
		if f.gateway == "" {
			return nil, fmt.Errorf("--to %q: between services UDP goes past the mesh; say which gateway it comes to by --gateway NAMESPACE/NAME", f.to)
		}
		c.Proto, c.Method = traffic.TCP, ""
	default:
		return nil, fmt.Errorf("--to %q: want http, grpc or tcp, or of a gateway https, tls or udp", f.to)
	}
	for _, h := range f.header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("-H %q: want 'name: value'", h)
		}
		c.Header = append(c.Header, [2]string{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
	}
	return c, nil
}

// outside makes c a call from outside of the mesh, if it is one.
func (f *explainFlags) outside(c *transcript.Call) (err error) {
	if f.from != transcript.Outside {
		if f.at != "" {
			return errors.New("--at is for calls from outside; a workload has the address that it has: --from outside")
		}
		if f.gateway != "" {
			return errors.New("--gateway is for calls from outside: --from outside")
		}
		return nil
	}
	if c.Via = f.gateway; c.Via == "" {
		c.To = workloadOf(c.URL)
	}
	if f.at != "" {
		if c.At, err = netip.ParseAddr(f.at); err != nil {
			return fmt.Errorf("--at %q: want an address, as 192.0.2.7", f.at)
		}
	}
	return nil
}

// workloadOf is the workload that the host of a URL names.
func workloadOf(u *url.URL) string {
	name, rest, ok := strings.Cut(u.Hostname(), ".")
	if !ok {
		return name
	}
	namespace, _, _ := strings.Cut(rest, ".")
	return namespace + "/" + name
}

func (f *explainFlags) run(c *cobra.Command) ([]explain.Branch, error) {
	call, err := f.call()
	if err != nil {
		return nil, err
	}
	switch live := f.live.wanted(); {
	case live && (len(f.files) > 0 || c.Flags().Changed("state")):
		return nil, errors.New("a cluster is asked, or files by -f, or the control plane of --state: name one of them")
	case live:
		v, err := f.live.load(c.Context(), c.ErrOrStderr(), f.gateway != "", f.asIf)
		if err != nil {
			return nil, err
		}
		return explained(v.Mesh, call)
	case len(f.files) > 0:
		v, err := f.load(c.InOrStdin())
		if err != nil {
			return nil, err
		}
		return explained(v.Mesh, call)
	case f.injected:
		return nil, errors.New("--injected is for Pods: name files with them by -f, or have a cluster be read by --cluster")
	}
	var b []explain.Branch
	err = ask(c.Context(), f.state, "POST", "/v1/explain", call.Asked(), &b)
	if errors.Is(err, errAway) {
		err = fmt.Errorf("%w; on Kubernetes add --cluster", err)
	}
	return b, err
}

func explained(snap *mesh.Snapshot, call *transcript.Call) ([]explain.Branch, error) {
	q, err := call.Asked().Query(snap)
	if err != nil {
		return nil, err
	}
	return explain.Call(compile.All(snap, snap.Workloads.Get(q.Caller())), q)
}

// load reads a transcript, which says which workloads are taken to run, or configuration with Pods in it.
func (f *explainFlags) load(in io.Reader) (*control.View, error) {
	if !slices.ContainsFunc(f.files, func(path string) bool { return strings.HasSuffix(path, ".txtar") }) {
		return loadPaths(f.files, in, f.proxies(), f.asIf)
	}
	if len(f.files) > 1 {
		return nil, errors.New("-f takes one transcript, or files and directories of configuration")
	}
	data, err := os.ReadFile(f.files[0])
	if err != nil {
		return nil, err
	}
	t, err := transcript.Parse(f.files[0], data)
	if err != nil {
		return nil, err
	}
	return t.Load(), nil
}

// asIf gives Pods the proxy that they are to be taken to have.
func (f *explainFlags) asIf(o *dialect.Object) {
	if !f.injected || o.Group != "" || o.Kind != "Pod" || o.Labels[inject.Label] == "disabled" || o.Annotations[dialect.Tunnel] != "" {
		return
	}
	spec, _ := o.Tree["spec"].(map[string]any)
	if host, _ := spec["hostNetwork"].(bool); host {
		return
	}
	notes := map[string]string{dialect.Tunnel: fmt.Sprintf(":%d", traffic.TunnelPort)}
	maps.Copy(notes, o.Annotations)
	o.Annotations = notes
}

// proxies is one of the gateway that the call comes to, as if it ran.
func (f *explainFlags) proxies() []*control.Workload {
	if f.gateway == "" {
		return nil
	}
	proxy := transcript.ProxyOf(f.gateway)
	return []*control.Workload{control.Simulated(proxy.Registration(), 1, transcript.Now)}
}

func printBranches(w *tabwriter.Writer, all []explain.Branch, considered bool) {
	for i := range all {
		b := &all[i]
		whole := *b
		whole.Share = 1 // it is said once
		fmt.Fprintf(w, "%.0f%% of calls: %s\n", b.Share*100, transcript.Describe(&whole))
		for _, s := range b.Steps {
			switch {
			case s.Took:
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", cmp.Or(s.Side, "-"), s.Stage, stepWords(s.Verdict), s.Note)
			case considered:
				fmt.Fprintf(w, "  %s\t%s\tnot %s\t%s\n", cmp.Or(s.Side, "-"), s.Stage, s.Verdict.Ref, s.Note)
			}
		}
		fmt.Fprintln(w)
	}
}

func stepWords(v decision.Verdict) string {
	s := v.Outcome.String() + ": " + v.Ref.String()
	if v.Reason != decision.Matched && v.Reason != decision.Default {
		s += ", " + v.Reason.String()
	}
	return s
}
