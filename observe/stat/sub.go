package stat

import "maps"

// name is what tells an edge from the others of a Snapshot.
type name struct {
	reporter, from, service, subset, to, protocol, fromAccount, toAccount string
	port                                                                  uint16
}

func (e *Edge) name() name {
	return name{e.Reporter, e.From, e.Service, e.Subset, e.To, e.Protocol, e.FromAccount, e.ToAccount, e.Port}
}

// Sub returns what was counted between two snapshots of one proxy; edges without a call in between are left out. An edge that was
// forgotten in between began anew.
func Sub(now, before []Edge) (out []Edge) {
	old := map[name]*Edge{}
	for i := range before {
		old[before[i].name()] = &before[i]
	}
	for _, e := range now {
		if o := old[e.name()]; o != nil && o.Calls <= e.Calls && o.Sent <= e.Sent && o.Received <= e.Received {
			e.sub(o)
		}
		if e.Calls > 0 {
			out = append(out, e)
		}
	}
	return out
}

// sub takes an earlier state away. Snapshots are taken while calls are counted: what is a part of the calls stays one.
func (e *Edge) sub(o *Edge) {
	e.Latency = maps.Clone(e.Latency)
	e.Latency.Sub(o.Latency)
	e.Calls, e.Sent, e.Received = e.Calls-o.Calls, e.Sent-o.Sent, e.Received-o.Received
	e.Retries -= min(o.Retries, e.Retries)
	e.Secure = min(e.Secure-min(o.Secure, e.Secure), e.Calls)
	e.Failed = min(e.Failed-min(o.Failed, e.Failed), e.Calls)
	e.Denied = min(e.Denied-min(o.Denied, e.Denied), e.Calls-e.Failed)
	if e.Denied == 0 {
		e.LastDenial = ""
	}
	if e.Failed == 0 {
		e.LastFailure = ""
	}
}
