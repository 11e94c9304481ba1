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
// keep the mesh of all others from beginning: what is refused of them closes that namespace, now and from now on.
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
	closes := c.closes()
	for _, o := range all {
		if closes != nil && closes(o) {
			continue
		}
		for _, f := range c.model.objects.Unguarded(o.Key()) {
			lines = append(lines, f.String())
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("%w\n%s", ErrUnguarded, strings.Join(lines, "\n"))
	}
	c.model.closes = closes
	c.apply(nil, nil) // which closes what is to be closed
	return nil
}

// closes says in whose place all calls of a namespace are denied, of policies that are refused and have no earlier version. On one machine
// there is no such thing: nothing begins there with one.
func (c *Control) closes() func(*dialect.Object) bool {
	if c.opts.Cluster == nil {
		return nil
	}
	return func(o *dialect.Object) bool { return !kinds.Wide(o) }
}

// sayShut logs for which policies all calls of their namespaces are denied from now on.
func (c *Control) sayShut() {
	for _, o := range c.model.shut {
		for _, f := range c.model.objects.Unguarded(o.Key()) {
			c.opts.Log.Error("all calls of the namespace are denied: a policy is refused, and no earlier version of it is known", "namespace", o.Namespace, "why", f.String())
		}
	}
	c.model.shut = nil
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

// warn logs those policies among objects that are not in force, and in whose place nothing is denied: on one machine, and of those that may be
// about all namespaces. What was in force before stays.
func (c *Control) warn(objects []*dialect.Object) {
	if c.syncing > 0 {
		return
	}
	for _, o := range objects {
		if c.model.closed[o.Key()] != nil {
			continue
		}
		for _, f := range c.model.objects.Unguarded(o.Key()) {
			c.opts.Log.Error("a policy is refused, and no earlier version of it is known: calls pass that it forbids", "why", f.String())
		}
	}
}
