package control

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	kinds "github.com/weft-mesh/weft/dialect/all"
)

// ErrUnguarded is of a control plane that does not begin: configuration that says who may call, or may say so, is refused, and no
// earlier version of it is known. Its text has a line for each.
var ErrUnguarded = errors.New("calls would pass that the configuration may forbid, for this is refused and no earlier version of it is known:")

// guarded looks at what all sources have given: nil if the mesh may begin. Who may write policies into one namespace of a cluster must not
// keep the mesh of all others from beginning: what is refused of them closes that namespace.
func (c *Control) guarded() error {
	all := c.model.objects.All()
	if c.opts.Unguarded {
		c.warn(all)
		return nil
	}
	var lines []string
	for _, f := range c.unknown() {
		lines = append(lines, f.String())
	}
	var closing []*dialect.Object
	for _, o := range all {
		why := c.model.objects.Unguarded(o.Key())
		alone := c.opts.Cluster != nil && !kinds.Wide(o)
		for _, f := range why {
			if alone {
				c.opts.Log.Error("all calls of the namespace are denied: a policy is refused, and no earlier version of it is known", "namespace", o.Namespace, "why", f.String())
				continue
			}
			lines = append(lines, f.String())
		}
		if alone && len(why) > 0 {
			closing = append(closing, o)
		}
	}
	if len(lines) == 0 {
		touched := c.model.close(closing)
		c.publisher.update(c.model.snap, touched)
		c.view.Store(nil)
		return nil
	}
	return fmt.Errorf("%w\n%s", ErrUnguarded, strings.Join(lines, "\n"))
}

// unknown is what could not be read and may be a policy, where nothing that an earlier run read stands for it, and policies that
// another object stands in the way of, by its name.
func (c *Control) unknown() (out []dialect.Located) {
	for _, f := range c.model.objects.Lost() {
		if f.Ref.Kind != dialect.FileKind || !c.remembered(f.File) {
			out = append(out, f)
		}
	}
	return out
}

// remembered says whether something is in force that stood in a file, or below a directory, that can't be read.
func (c *Control) remembered(at string) bool {
	for _, file := range c.restored {
		if within(file, at) {
			return true
		}
	}
	return false
}

// warn logs those policies among objects that are not in force. While the mesh runs, what was in force stays, and that is all
// that can be done.
func (c *Control) warn(objects []*dialect.Object) {
	if c.syncing > 0 {
		return
	}
	for _, o := range objects {
		for _, f := range c.model.objects.Unguarded(o.Key()) {
			c.opts.Log.Error("a policy is refused, and no earlier version of it is known: calls pass that it forbids", "why", f.String())
		}
	}
}
