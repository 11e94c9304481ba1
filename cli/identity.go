package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func identityCommand() *cobra.Command {
	c := &cobra.Command{Use: "identity", Short: "Work with the mesh's certificates"}
	c.AddCommand(rotateCommand())
	return c
}

func rotateCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the root certificate while the mesh runs",
		Long: `Rotate distributes a new root, issues under it once every proxy knows it, has every workload renew, and then retires
the old one. No request fails by it. A rotation that was interrupted goes on where it stood.`,
		Example: "  weft identity rotate",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := open(c.Context(), state, "POST", "/v1/identity/rotate", nil)
			if err != nil {
				return err
			}
			defer body.Close()
			lines := bufio.NewScanner(body)
			for lines.Scan() {
				if why, bad := strings.CutPrefix(lines.Text(), "error: "); bad {
					return fmt.Errorf("the rotation is not complete, and can be taken up again: %s", why)
				}
				fmt.Fprintln(c.OutOrStdout(), lines.Text())
			}
			if err := lines.Err(); err != nil {
				return fmt.Errorf("%w any more in %s, and the rotation is not complete; ask again, and it goes on where it stood", errAway, state)
			}
			return nil
		},
	}
	stateFlag(c, &state)
	return c
}
