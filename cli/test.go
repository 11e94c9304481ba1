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
  -- findings --
  mesh/policy.yaml:12 spec.hosts

Exit code: 0 all hold, 1 some do not, 2 a file cannot be read.`,
		Example: "  weft test mesh/*.txtar",
		Args:    cobra.MinimumNArgs(1),
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
