package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/cli/transcript"
)

func testCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "test FILE.txtar...",
		Short: "Check your own assertions about your configuration",
		Long: `Test reads transcripts: files that hold configuration, the workloads that are taken to run, calls with the outcome that
each must have and the object that must decide it, and findings. Calls are judged by the code that proxies run; nothing is
started. The form:

  -- mesh/policy.yaml --
  (any objects)
  -- workloads --
  frontend
  backend version=v1 ports=8080
  -- calls --
  from frontend GET http://backend:8080/api/items => 200 backend because AuthorizationPolicy default/allow rules[0]
  from other    GET http://backend:8080/ end-user=jason => 403
  -- calls in order --
  backend answers 503
  from frontend GET http://backend:8080/ times=5 => 503 at backend counts failure
  after 30s
  -- findings --
  mesh/policy.yaml:12 spec.hosts

A workload has the label app and the service account of its name and listens on port 80; service=, version=, account=, ports=,
protocol= and any label= say otherwise. trusted=ADDRESS/BITS is for proxies in front of it, as weft run has --trusted-proxy. It needs no Service among the objects. A call may also be TCP NAME:PORT, GRPC URL, or
"from outside METHOD URL to WORKLOAD"; besides headers it takes answering=STATUS, taking=DURATION, failing=N (attempts that find
nobody) and at=ADDRESS (of a caller outside, which is to be said where a policy asks for it). times=N makes it so often, one after
another, with {n} in a header or in the query standing for its number, and with keeping=cookies those that the answers set;
beside=N keeps so many calls like it open meanwhile, which is how limits are reached.

Calls know nothing of each other, but for those of "calls in order": their proxies remember turns, failures, ejections and
budgets, from the section's first line to its last. It may stand several times, each with proxies of its own. Between its calls
stand: after DURATION, which passes; WORKLOAD answers STATUS, WORKLOAD takes DURATION, WORKLOAD refuses (connections), from then on.
A call takes no time where neither it nor its workload says so; to balancing by latency, the default, an endpoint that has failed is
then slower than all others for good.

An outcome is a status, ok or refused, and as much as matters of: the service that gets the call, subset NAME, at WORKLOAD, grpc
CODE, attempts N, copied to SERVICE, because OBJECT, counts failure or counts success (by OBJECT), sees HEADER=VALUE ... (what the
application gets; also path=, query=, host=), returns HEADER=VALUE ... (what the caller gets). HEADER= is one that is not there.
"80% 200 ... | 20% 503" tells the shares of a call that can go several ways; one outcome without a share is that of all of them.
Because names the object that had the last word: where a route and then a policy let a call pass, the policy. Where a call is made
several times: 5 times, at least 5 times, at most 5 times, each before a status; "at one endpoint" is the same one for all. A call
counts for the first outcome that fits it.

Exit code: 0 all hold, 1 some do not, 2 a file cannot be read.`,
		Example: "  weft test mesh/*.txtar",
		Args:    atLeast("transcripts"),
		RunE: func(c *cobra.Command, paths []string) error {
			passed, failed := 0, 0
			for _, path := range paths {
				n, bad, err := testFile(path)
				if err != nil {
					return err
				}
				for _, x := range bad {
					fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", path, x.String())
				}
				passed, failed = passed+max(n-len(bad), 0), failed+len(bad)
			}
			fmt.Fprintf(c.OutOrStdout(), "%d passed, %d failed\n", passed, failed)
			if failed > 0 {
				return Exit(1)
			}
			return nil
		},
	}
	return c
}

func testFile(path string) (int, []transcript.Failure, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, nil, err
	}
	f, err := transcript.Parse(path, data)
	if err != nil {
		return 0, nil, errors.Join(errors.New("not a transcript; see weft test --help"), err)
	}
	return f.Run()
}
