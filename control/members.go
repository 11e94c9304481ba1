package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/stream/server"
)

// member is a workload whose proxy has proved that it speaks for it.
type member struct {
	workload string // namespace/name
	account  string
	uid      string // of its Pod, or the token of its registration: another one is of another workload, whatever its name
}

// members says who belongs to the mesh and what proves it. On one machine that is the registry of processes, on Kubernetes pods.
type members interface {
	// admit returns whom a proxy speaks for that names a workload and sends a token. It may wait for this replica to hear of the
	// workload. An error that wraps server.ErrRefused is the proxy's fault; after any other it may come again.
	admit(ctx context.Context, workload, token string) (*member, error)
	// stays says whether m is still what was admitted. It runs in the owner.
	stays(m *member) bool
	// expected names all workloads that have a proxy: a rotation waits for each. It runs in the owner.
	expected() []string
}

// Proof is what the API server says of the token of a pod.
type Proof struct{ Namespace, Account, Pod, PodUID string }

// ErrToken is wrapped by the error of Cluster.Attest where the token proves nothing. After any other error it could not be checked.
var ErrToken = errors.New("token refused")

// pods admits by the service-account token that is bound to a pod, where the Pod object that this replica knows is that very pod. A
// certificate or a session goes to no pod whose object is not there: it may be gone, and its token valid for an hour yet.
type pods struct {
	c      *Control
	attest func(ctx context.Context, token string) (Proof, error)
}

// podWait bounds how long a proxy waits for this replica to hear of its pod. Pods are heard of within milliseconds.
const podWait = 10 * time.Second

func (p *pods) admit(ctx context.Context, workload, token string) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, podWait)
	defer cancel()
	proof, err := p.attest(ctx, token)
	switch {
	case errors.Is(err, ErrToken):
		return nil, fmt.Errorf("%w: workload %s: %w", server.ErrRefused, workload, err)
	case err != nil:
		return nil, fmt.Errorf("the token of workload %s cannot be checked now: %w", workload, err)
	case proof.Pod == "" || proof.PodUID == "" || proof.Account == "":
		return nil, fmt.Errorf("%w: workload %s: its token is bound to no pod; mount a projected service-account token", server.ErrRefused, workload)
	case workload != proof.Namespace+"/"+proof.Pod:
		return nil, fmt.Errorf("%w: the proxy says that it serves %s, and its token is of pod %s/%s", server.ErrRefused, workload, proof.Namespace, proof.Pod)
	}
	m := &member{workload, proof.Account, proof.PodUID}
	return m, p.await(ctx, m)
}

// await returns when the Pod object of m is known here.
func (p *pods) await(ctx context.Context, m *member) error {
	for {
		var known bool
		var why error
		var heard <-chan struct{}
		if err := p.c.do(func() {
			if known, why = p.known(m); !known && why == nil {
				heard = p.c.hears(m.workload)
			}
		}); err != nil {
			return err
		}
		if known || why != nil {
			return why
		}
		select {
		case <-heard:
		case <-p.c.done:
			return errStopped
		case <-ctx.Done():
			_ = p.c.do(func() { p.c.hearsNot(m.workload, heard) })
			return fmt.Errorf("this replica has not heard of pod %s with uid %s within %v; is it gone?", m.workload, m.uid, podWait)
		}
	}
}

// known says whether the Pod object of m is there, and what is wrong with it. It runs in the owner.
func (p *pods) known(m *member) (bool, error) {
	o := p.c.pod(m.workload)
	if o == nil {
		return false, nil
	}
	tree := o.Whole()
	if fieldOf(tree, "metadata", "uid") != m.uid { // of another uid: the pod before, of a StatefulSet say, whose end has not been heard of
		return false, nil
	}
	if is := accountOf(tree); is != m.account {
		return false, fmt.Errorf("%w: pod %s runs as account %s, and its token is of account %s", server.ErrRefused, m.workload, is, m.account)
	}
	return true, nil
}

func (p *pods) stays(m *member) bool {
	ok, _ := p.known(m)
	return ok
}

// expected is the pods that have a proxy and an address. What is claimed to be a workload elsewhere has no session here.
func (p *pods) expected() (out []string) {
	for key, w := range p.c.publisher.snap.Workloads.All() {
		if w.Tunnel.IsValid() && !w.Claimed {
			out = append(out, key)
		}
	}
	return out
}

// PodAt returns the namespace of the pod that has an address; false: no pod has it for itself alone.
func (c *Control) PodAt(a netip.Addr) (namespace string, ok bool) {
	_ = c.do(func() {
		if w := c.publisher.snap.At(a); w != nil && !w.Claimed {
			namespace, ok = w.Namespace, true
		}
	})
	return namespace, ok
}

// pod is the Pod object of a workload; nil: there is none. It runs in the owner.
func (c *Control) pod(workload string) *dialect.Object {
	namespace, name, _ := strings.Cut(workload, "/")
	return c.model.objects.Get("", "Pod", namespace, name)
}

func accountOf(pod map[string]any) string {
	for _, field := range []string{"serviceAccountName", "serviceAccount"} {
		if name := fieldOf(pod, "spec", field); name != "" {
			return name
		}
	}
	return "default"
}

// fieldOf is a field of an object; empty: there is none, or it is no text.
func fieldOf(tree map[string]any, part, field string) string {
	m, _ := tree[part].(map[string]any)
	s, _ := m[field].(string)
	return s
}

// hears returns what is closed when the Pod object of a workload changes. It runs in the owner, as does hearsNot, which gives it back.
func (c *Control) hears(workload string) <-chan struct{} {
	h := c.hearing[workload]
	if h == nil {
		h = &hearing{changed: make(chan struct{})}
		c.hearing[workload] = h
	}
	h.waiting++
	return h.changed
}

func (c *Control) hearsNot(workload string, heard <-chan struct{}) {
	if h := c.hearing[workload]; h != nil && h.changed == heard {
		if h.waiting--; h.waiting == 0 {
			delete(c.hearing, workload)
		}
	}
}

// hearing is those who wait for a Pod object.
type hearing struct {
	changed chan struct{}
	waiting int
}

// heard is what follows, beside configuration, from a change of Pods: who waits for one looks again, and who is not there any more is
// served no more. It runs in the owner.
func (c *Control) heard(workloads map[string]bool) {
	for w := range workloads {
		c.heardOf(w)
	}
}

// podsAmong is the workloads of the Pods in a change.
func podsAmong(put []*dialect.Object, gone []dialect.Key) map[string]bool {
	out := map[string]bool{}
	for _, o := range put {
		if o.Group == "" && o.Kind == "Pod" {
			out[o.Namespace+"/"+o.Name] = true
		}
	}
	for _, k := range gone {
		if k.Group == "" && k.Kind == "Pod" {
			out[k.Namespace+"/"+k.Name] = true
		}
	}
	return out
}

func (c *Control) heardOf(workload string) {
	if h := c.hearing[workload]; h != nil {
		close(h.changed)
		delete(c.hearing, workload)
	}
	for _, s := range c.publisher.sessions[workload] {
		if !c.members.stays(s.member) {
			s.end(errGone)
		}
	}
	if c.pod(workload) == nil {
		c.rooted.forget(workload)
		c.nacks.forget(workload)
		c.acknowledged() // whoever waited for this workload waits no longer
	}
}
