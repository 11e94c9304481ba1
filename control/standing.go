package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// standing is the workloads with a session here whose proxies have come as far as q asks. It runs in the owner.
func (c *Control) standing(q *stream.StandingRequest) (has []string) {
	name := config.Name(config.KindTrust, c.opts.TrustDomain)
	for workload, sessions := range c.publisher.sessions {
		root := c.rooted.of(workload)
		if len(q.Root) > 0 && string(root[:]) != string(q.Root) {
			continue
		}
		if q.Trust == 0 || slices.ContainsFunc(sessions, func(s *session) bool { return s.acked(name) == q.Trust }) {
			has = append(has, workload)
		}
	}
	return has
}

// Standing answers another replica of this control plane, and nobody else.
func (c *Control) Standing(ctx context.Context, q *stream.StandingRequest) (*stream.StandingResponse, error) {
	cl := c.opts.Cluster
	if cl == nil {
		return nil, fmt.Errorf("%w: this control plane has no replicas", server.ErrRefused)
	}
	proof, err := cl.Attest(ctx, q.Token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, err)
	}
	if proof.Namespace != cl.Namespace || proof.Account != cl.Account {
		return nil, fmt.Errorf("%w: account %s/%s is not the control plane's", server.ErrRefused, proof.Namespace, proof.Account)
	}
	c.catchUp() // it asks for what it has just brought about
	var out stream.StandingResponse
	err = c.do(func() { out.Workloads = c.standing(q) })
	return &out, err
}

// askAgain is how often other replicas are asked while a rotation waits for their proxies.
const askAgain = time.Second

// awaited is since when each step of a rotation waits for all, over all attempts at it.
type awaited map[string]time.Time

// late says whether a step has been waited for as long as a certificate lives. Whoever has not come as far by then has none that is valid,
// or says what is not so: anybody may have a Pod whose proxy never comes, and no root must live for ever because of it.
func (a awaited) late(q *stream.StandingRequest, life time.Duration, now time.Time) bool {
	step := fmt.Sprint(q.Trust, q.Root)
	since, known := a[step]
	if !known {
		a[step] = now
	}
	return known && now.Sub(since) >= life
}

// everyone waits until every workload that has a proxy stands, here or at another replica, where q asks, and for none longer than a
// certificate lives. An error names those that do not.
func (c *Control) everyone(ctx context.Context, lacks string, q *stream.StandingRequest) error {
	for {
		wait := c.nextAck()
		elsewhere, others := c.elsewhere(ctx, q)
		var who []string
		if err := c.do(func() { who = c.behind(q, elsewhere) }); err != nil || len(who) == 0 {
			return err
		}
		if c.awaited.late(q, c.ca.Lifetime(), time.Now()) {
			c.opts.Log.Error("the rotation of the root goes on without some, after as long as a certificate lives", "without", few(who, ", "), "why", "its proxy "+lacks)
			return nil
		}
		var again <-chan time.Time
		if others {
			wait, again = nil, time.After(askAgain) // an answer asks each of them anew: not for every word of a proxy
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: the proxy of %s %s; see weft status, and end what hangs", ctx.Err(), few(who, ", of "), lacks)
		case <-c.done:
			return errStopped
		case <-wait:
		case <-again:
		}
	}
}

// behind names the workloads that do not stand where q asks. It runs in the owner.
func (c *Control) behind(q *stream.StandingRequest, elsewhere map[string]bool) (who []string) {
	here := map[string]bool{}
	for _, workload := range c.standing(q) {
		here[workload] = true
	}
	for _, workload := range c.members.expected() {
		if !here[workload] && !elsewhere[workload] {
			who = append(who, workload)
		}
	}
	slices.Sort(who)
	return who
}

// mostNamed is how many an error names.
const mostNamed = 5

func few(names []string, between string) string {
	if more := len(names) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], between), more)
	}
	return strings.Join(names, between)
}

// elsewhere asks all other replicas. One that does not answer has nobody who stands: a rotation waits for it, or for its end.
func (c *Control) elsewhere(ctx context.Context, q *stream.StandingRequest) (has map[string]bool, others bool) {
	cl := c.opts.Cluster
	if cl == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	has = map[string]bool{}
	var asking sync.WaitGroup
	var mu sync.Mutex
	for _, at := range c.replicas() {
		asking.Go(func() {
			got, err := cl.Ask(ctx, at, q)
			if err != nil {
				c.opts.Log.Warn("another replica does not say how far its proxies are", "replica", at, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, workload := range got {
				has[workload] = true
			}
		})
	}
	asking.Wait()
	return has, true
}

// askTime bounds a question to another replica.
const askTime = 5 * time.Second

// replicas is where the other replicas are: the pods of the control plane's account.
func (c *Control) replicas() (at []netip.Addr) {
	cl := c.opts.Cluster
	_ = c.do(func() {
		for w := range c.publisher.snap.MembersOf(cl.Namespace) {
			if w.ID() == identity.Of(c.opts.TrustDomain, cl.Namespace, cl.Account) && w.Name != cl.Pod {
				at = append(at, w.Addr)
			}
		}
	})
	return at
}
