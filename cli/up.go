package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup" // the parts of a program that end together

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
	"github.com/weft-mesh/weft/stream/server"
)

type upFlags struct {
	state, sockets, trustDomain string
	files, allow                []string
	lifetime                    time.Duration
	verbose, unguarded          bool
}

func upCommand() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up [-f PATH...]",
		Short: "Run the control plane on this machine",
		Long: `Up reads Kubernetes-style YAML of every dialect from files and directories, watches them, issues identities and serves
proxies. A change takes effect within a second, and a line says so; an object whose new version is bad stays as it was, and a
finding says why.
Workloads are started with weft run. State (keys, the last good configuration) and sockets are in a directory that is private to
the user. Up runs until it is interrupted; proxies go on without it.

Up does not start, with exit code 1, where an object that says who may call is refused and no earlier version of it is known, nor
where a file cannot be read that may hold one: calls would pass that it forbids. While it runs, such an object is an error in its
log, and what was in force stays.

Who may claim an account by --allow may run a process of any service of its namespace, with any labels, as a user may of a cluster
who can create Pods there: give users that are not to speak for each other's services namespaces of their own.`,
		Example: `  weft up -f mesh/
  weft up -f mesh/ -f more.yaml --cert-lifetime 1h
  weft up -f mesh/ --allow 1001:shop/* --allow 1002:default/batch`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return f.up(ctx, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringArrayVarP(&f.files, "file", "f", nil, "file or directory of configuration, which workloads cannot write; links in it may not lead out of it; may be given again")
	c.Flags().StringVar(&f.trustDomain, "trust-domain", defaultTrustDomain, "trust domain of the identities")
	c.Flags().DurationVar(&f.lifetime, "cert-lifetime", 24*time.Hour, "lifetime of workloads' certificates; they are renewed at half of it")
	c.Flags().StringArrayVar(&f.allow, "allow", nil, "UID:NAMESPACE/ACCOUNT that another user of this machine may claim, * for any, for any service and labels in that namespace; your own user may claim all")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "log every certificate and workload")
	c.Flags().StringVar(&f.sockets, "sockets", "", "directory for the sockets, where users of --allow can reach them [the state directory]")
	c.Flags().BoolVar(&f.unguarded, "start-unguarded", false, "start although a policy is refused that no earlier version stands for: calls pass that it forbids")
	stateFlag(c, &f.state)
	return c
}

func (f *upFlags) up(ctx context.Context, out, errs io.Writer) error {
	rules, err := parseAllow(f.allow)
	if err != nil {
		return err
	}
	if f.state, err = filepath.Abs(f.state); err != nil { // workloads are told, wherever they were started
		return err
	}
	if f.sockets, err = filepath.Abs(cmp.Or(f.sockets, f.state)); err != nil {
		return err
	}
	if len(rules) > 1 && f.sockets == f.state {
		return errors.New("--allow is for other users, and they cannot reach sockets in the private state directory; add --sockets DIRECTORY")
	}
	if err := readable(f.files); err != nil {
		return err
	}
	unlock, err := lock(f.state)
	if err != nil {
		return err
	}
	defer unlock()
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelInfo
	}
	told := &findings{out: errs, said: map[string]bool{}}
	opts := control.Options{State: f.state, TrustDomain: f.trustDomain, CertLifetime: f.lifetime, Allow: rules, Unguarded: f.unguarded, Changed: told.changed,
		Applied: func(a control.Applied) { fmt.Fprintln(errs, time.Now().Format(time.TimeOnly), appliedWords(a)) },
		Log:     slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))}
	for _, path := range f.files {
		real, err := realPath(path)
		if err != nil {
			return fmt.Errorf("-f %s: %w", path, err)
		}
		opts.Rules = append(opts.Rules, real)
	}
	if f.sockets != f.state {
		opts.Private = []string{f.sockets}
	}
	if len(f.files) > 0 {
		opts.Sources = []source.Source{files.New(files.Options{Paths: f.files, Kinds: all.Kinds(f.trustDomain), Within: opts.Rules})}
	}
	ctl, err := control.New(opts)
	if err != nil {
		return err
	}
	err = f.serve(ctx, ctl, len(rules) > 1, out)
	if errors.Is(err, control.ErrUnguarded) {
		err = &failure{1, fmt.Errorf("%w\nmend it, or take it out of the configuration; --start-unguarded starts all the same", err)}
	}
	return err
}

// serve answers once all configuration has been read.
func (f *upFlags) serve(ctx context.Context, ctl *control.Control, others bool, out io.Writer) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ctl.Run(ctx) })
	select {
	case <-ctl.Synced():
	case <-ctx.Done():
		return g.Wait()
	}
	api, proxies, err := f.listen(others)
	if err != nil {
		g.Go(func() error { return err }) // which ends the others
		return g.Wait()
	}
	g.Go(func() error { return ctl.ServeAPI(ctx, api) })
	g.Go(func() error { return server.Serve(ctx, proxies, ctl, server.Options{}) })
	v := ctl.View()
	fmt.Fprintf(out, "weft is up in %s: %s, %s. Start workloads with: weft run%s --service NAME --port PORT -- COMMAND\n",
		f.state, counted(len(v.Objects), "object"), counted(v.Mesh.Services.Len(), "service"), stateHint(f.state))
	return g.Wait()
}

// stateHint is the flag that other commands need to find a state that is not the usual one.
func stateHint(state string) string {
	if state == DefaultState() {
		return ""
	}
	return " --state " + state
}

// listen makes the sockets, and, where they are not in the state directory, links there: so --state is enough for its owner.
func (f *upFlags) listen(others bool) (api, proxies net.Listener, err error) {
	if err := prepareSockets(f.sockets); err != nil {
		return nil, nil, err
	}
	if api, err = listenUnix(apiSocket(f.sockets), others); err != nil {
		return nil, nil, err
	}
	if proxies, err = listenUnix(meshSocket(f.sockets), others); err != nil {
		return nil, nil, errors.Join(err, api.Close())
	}
	if f.sockets == f.state {
		return api, proxies, nil
	}
	for _, of := range []func(string) string{apiSocket, meshSocket} {
		err = errors.Join(err, sys.RemoveSocket(of(f.state)), os.Symlink(of(f.sockets), of(f.state)))
	}
	if err != nil {
		return nil, nil, errors.Join(err, api.Close(), proxies.Close())
	}
	return api, proxies, nil
}

// prepareSockets makes the directory, and refuses one where another user could put a control plane of his own.
func prepareSockets(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--sockets: %w", err)
	}
	if !own(dir) {
		return fmt.Errorf("--sockets %s: it has to be your own, and no other user may write to it; choose another, or: chmod go-w %s", dir, dir)
	}
	return nil
}

// realPath is absolute and without links.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(real)
}

func readable(paths []string) error {
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("cannot read configuration: %w; name files or directories that are there", err)
		}
	}
	return nil
}

// parseAllow: whoever runs the control plane may claim everything.
func parseAllow(list []string) ([]control.Rule, error) {
	rules := []control.Rule{{UID: os.Geteuid(), Namespace: "*", Account: "*"}}
	for _, s := range list {
		uid, rest, ok := strings.Cut(s, ":")
		n, err := strconv.Atoi(uid)
		namespace, account, ok2 := strings.Cut(rest, "/")
		if !ok || !ok2 || err != nil || namespace == "" || account == "" {
			return nil, fmt.Errorf("--allow %q: want UID:NAMESPACE/ACCOUNT, as 1001:shop/*", s)
		}
		rules = append(rules, control.Rule{UID: n, Namespace: namespace, Account: account})
	}
	return rules, nil
}

// lock makes sure that one control plane alone uses a state directory.
func lock(state string) (unlock func(), err error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	l, err := lockFile(filepath.Join(state, "lock"))
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, fmt.Errorf("another control plane runs in %s; stop it, or give this one a --state of its own", state)
	case err != nil:
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return func() { l.Close() }, nil
}

// listenUnix makes a socket; whoever held the lock before may have left one. others: users that rules allow may connect to it,
// if the directory lets them through; who they are is read at the socket.
func listenUnix(path string, others bool) (net.Listener, error) {
	if err := sys.RemoveSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w (a path of more than 107 bytes is too long)", err)
	}
	mode := os.FileMode(0o600)
	if others {
		mode = 0o666
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// mostNames is how many objects a line names.
const mostNames = 5

// appliedWords is a line about a change of configuration.
func appliedWords(a control.Applied) string {
	var parts []string
	for _, x := range []struct {
		what string
		keys []dialect.Key
	}{{"added", a.New}, {"changed", a.Changed}, {"removed", a.Gone}, {"refused", a.Refused}} {
		if len(x.keys) == 0 {
			continue
		}
		var names []string
		for _, k := range x.keys[:min(len(x.keys), mostNames)] {
			names = append(names, keyName(k))
		}
		if more := len(x.keys) - len(names); more > 0 {
			names = append(names, fmt.Sprintf("%d more", more))
		}
		parts = append(parts, counted(len(x.keys), "object")+" "+x.what+" ("+strings.Join(names, ", ")+")")
	}
	return "configuration: " + strings.Join(parts, "; ")
}

// findings prints what is new to say of the configuration.
type findings struct {
	out  io.Writer
	mu   sync.Mutex
	said map[string]bool
}

func (f *findings) changed(v *control.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := map[string]bool{}
	for _, l := range v.Findings {
		line := l.String()
		if now[line] = true; !f.said[line] && l.Level > mesh.Info {
			fmt.Fprintln(f.out, line)
		}
	}
	f.said = now
}
