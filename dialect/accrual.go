package dialect

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/feature/outlier"
)

// Annotations by which Linkerd's users say of a Service which of its endpoints are left out for a while, since they fail ("circuit breaking").
const (
	accrual            = "balancer.linkerd.io/failure-accrual"
	accrualMaxFailures = accrual + "-consecutive-max-failures"
	accrualMinPenalty  = accrual + "-consecutive-min-penalty"
	accrualMaxPenalty  = accrual + "-consecutive-max-penalty"
	accrualJitter      = accrual + "-consecutive-jitter-ratio"
)

// AccrualNotes are those that are read.
func AccrualNotes() []string {
	return []string{accrual, accrualMaxFailures, accrualMinPenalty, accrualMaxPenalty, accrualJitter}
}

// Accrual reads the object's AccrualNotes (parse_accrual_config in policy-controller/k8s/index/src/outbound); nil: nothing is left out. As in
// Linkerd, one that says what cannot be takes the others with it.
func (r *Reader) Accrual() *outlier.Policy {
	n := notes{r: r, amiss: r.Warn, known: AccrualNotes()}
	mode, ok := n.value(accrual)
	switch {
	case !ok:
		for _, key := range AccrualNotes() {
			if _, there := n.value(key); there {
				r.Warn(Child("metadata.annotations", key), "it has no effect without "+accrual+": consecutive", "write that too")
			}
		}
		return nil
	case mode != "consecutive":
		n.wrong(accrual, errors.New("not supported yet: no endpoint is left out"), "write consecutive, or a DestinationRule with outlierDetection")
		return nil
	}
	before := len(r.Found)
	p := &outlier.Policy{Ref: n.ref(accrual), Consecutive: n.count(accrualMaxFailures, 7), Base: n.penalty(accrualMinPenalty, time.Second),
		Max: n.penalty(accrualMaxPenalty, time.Minute), MaxPercent: 100, Doubles: true, Wary: true}
	if p.Base > p.Max && len(r.Found) == before {
		n.wrong(accrualMinPenalty, fmt.Errorf("it is longer than %s, which is %v", accrualMaxPenalty, p.Max), "make it shorter")
	}
	jitter := n.ratio(accrualJitter)
	if len(r.Found) > before {
		return nil
	}
	if jitter > 0 {
		r.Info(Child("metadata.annotations", accrualJitter), "it has no effect: endpoints come back when the time is over, to each proxy at its own", "")
	}
	return p
}

func (n *notes) count(key string, unset uint32) uint32 {
	text, ok := n.value(key)
	if !ok {
		return unset
	}
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil || v == 0 {
		n.wrong(key, errors.New("it is not a number of failures"), "write 1 or more")
	}
	return uint32(v)
}

// penalty reads a duration of which zero would be nothing.
func (n *notes) penalty(key string, unset time.Duration) time.Duration {
	if _, ok := n.value(key); !ok {
		return unset
	}
	d, ok := n.duration(key)
	if ok && d == 0 {
		n.wrong(key, errors.New("an endpoint that is left out for no time is not left out"), "write 1s or more")
	}
	return d
}

func (n *notes) ratio(key string) float64 {
	text, ok := n.value(key)
	if !ok {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 100) {
		n.wrong(key, errors.New("it is not a ratio"), "write a number from 0 to 100, as 0.5")
	}
	return v
}
