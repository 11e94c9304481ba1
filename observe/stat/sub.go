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

// Sub returns what was counted between two snapshots of one proxy; edges without a call in between are left out.
func Sub(now, before []Edge) (out []Edge) {
	old := map[name]*Edge{}
	for i := range before {
		old[before[i].name()] = &before[i]
	}
	for _, e := range now {
		if o := old[e.name()]; o != nil {
			e.Latency = maps.Clone(e.Latency)
			e.Latency.Sub(o.Latency)
			e.Calls, e.Failed, e.Denied = e.Calls-o.Calls, e.Failed-o.Failed, e.Denied-o.Denied
			e.Secure, e.Retries = e.Secure-o.Secure, e.Retries-o.Retries
			e.Sent, e.Received = e.Sent-o.Sent, e.Received-o.Received
		}
		if e.Calls > 0 {
			out = append(out, e)
		}
	}
	return out
}
