package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/proxy/profile"
)

func profileCommand() *cobra.Command {
	var state, kind, file string
	var seconds int
	c := &cobra.Command{
		Use:   "profile WORKLOAD",
		Short: "Tell what a proxy spends processor time or memory on",
		Long: `Profile asks a running proxy for a profile, in the format that go tool pprof reads. It costs the proxy next to nothing while none is
taken; a CPU profile interrupts it 100 times a second of its processor time.

  cpu        where time goes, for --seconds; Ctrl-C ends it without a file
  heap       what memory holds that is in use
  allocs     what allocated since the proxy began
  goroutine  where each goroutine stands

One CPU profile at a time. It ends early, with what it has, where the proxy ends or is upgraded meanwhile. It knows the workloads
that this user has started with weft run, and needs no control plane.

Exit code: 0 the profile is written, 1 there is none, 2 there is no such workload.`,
		Example: `  weft proxy profile reviews-v1-1
  weft proxy profile shop/web-1 --kind heap -o web.pb.gz
  weft proxy profile reviews-v1-1 --seconds 30 -o cpu.pb.gz   # then: go tool pprof -top cpu.pb.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(profile.Kinds, kind) {
				return fmt.Errorf("--kind %q: want one of %s", kind, strings.Join(profile.Kinds, ", "))
			}
			ask := url.Values{"kind": {kind}}
			switch {
			case kind == "cpu" && (seconds < 1 || seconds > profile.Longest):
				return fmt.Errorf("--seconds %d: want 1 to %d", seconds, profile.Longest)
			case kind == "cpu":
				ask.Set("seconds", strconv.Itoa(seconds))
			case c.Flags().Changed("seconds"):
				return fmt.Errorf("--seconds: a %s profile is of the moment; leave it out", kind)
			}
			list, err := localProxies(c.Context(), state, args)
			if err != nil {
				return err
			}
			if len(list) > 1 {
				return fmt.Errorf("several workloads are called %s; name one with its namespace, as %s", args[0], list[0].workload)
			}
			b, err := list[0].profile(c.Context(), ask)
			if err != nil {
				fmt.Fprintf(c.ErrOrStderr(), "%s: no profile: %v\n", list[0].workload, err)
				return Exit(1)
			}
			if file == "" {
				file = strings.ReplaceAll(list[0].workload, "/", "-") + "-" + kind + ".pb.gz"
			}
			return writeProfile(c.OutOrStdout(), file, b)
		},
	}
	c.Flags().StringVar(&kind, "kind", "cpu", strings.Join(profile.Kinds, ", "))
	c.Flags().IntVar(&seconds, "seconds", profile.Usual, fmt.Sprintf("how long a CPU profile takes, 1 to %d", profile.Longest))
	c.Flags().StringVarP(&file, "output", "o", "", "file to write, - for standard output [WORKLOAD-KIND.pb.gz]")
	stateFlag(c, &state)
	return c
}

func writeProfile(out io.Writer, file string, b []byte) error {
	if file == "-" {
		_, err := out.Write(b)
		return err
	}
	if err := os.WriteFile(file, b, 0o666); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s; look at it with: go tool pprof -top %[1]s\n", file)
	return nil
}

// mostProfile bounds what is read of one: that of a proxy with 100,000 goroutines has less than 1 MB.
const mostProfile = 256 << 20

// profile returns when it has been taken.
func (p localProxy) profile(ctx context.Context, ask url.Values) ([]byte, error) {
	return p.ask(ctx, http.MethodGet, "/profile?"+ask.Encode(), mostProfile)
}
