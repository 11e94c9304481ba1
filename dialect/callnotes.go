package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/timeout"
)

// Annotations by which Linkerd's users say of a Service or a route how long its calls may take, and which are made again.
const (
	retryHTTP      = "retry.linkerd.io/http"
	retryGRPC      = "retry.linkerd.io/grpc"
	retryLimit     = "retry.linkerd.io/limit"
	retryTimeout   = "retry.linkerd.io/timeout"
	timeoutRequest = "timeout.linkerd.io/request"
)

// CallNotes are those that have an effect on an object that says which HTTP calls are meant, which gRPC calls, or both.
func CallNotes(http, grpc bool) (list []string) {
	if http {
		list = append(list, retryHTTP)
	}
	if grpc {
		list = append(list, retryGRPC)
	}
	return append(list, retryLimit, retryTimeout, timeoutRequest)
}

// Calls is what CallNotes say; nil: nothing of that.
type Calls struct {
	Timeout *timeout.Policy
	Attempt *timeout.Policy
	Retry   *retry.Policy
}

// Calls reads the object's CallNotes. Those that say what cannot be are for amiss to tell of, and have no effect.
func (r *Reader) Calls(http, grpc bool, amiss func(field, text, remedy string)) (c Calls) {
	n := notes{r: r, amiss: amiss, known: CallNotes(http, grpc)}
	if d, ok := n.duration(timeoutRequest); ok {
		c.Timeout = &timeout.Policy{Ref: n.ref(timeoutRequest), Limit: d}
	}
	p := retry.Policy{Attempts: n.limit(), Connect: true, Refused: true, ResetSafe: true} // as calls that nobody says anything of are made again
	p.ServerErr, p.Codes = n.statuses()
	p.GRPC = n.codes()
	each, timed := n.duration(retryTimeout)
	p.TimedOut = timed && each > 0
	if p.Attempts == 0 && !p.TimedOut && !p.ServerErr && p.Codes == nil && p.GRPC == nil {
		return c
	}
	p.Ref, p.Attempts = n.ref(cmp.Or(n.first, retryLimit)), cmp.Or(p.Attempts, 1)
	// Without a bound of its own an attempt has none: not that of a Service, all of whose notes on retries a route's replace.
	c.Retry, c.Attempt = &p, &timeout.Policy{Ref: p.Ref, Limit: each}
	return c
}

// notes reads annotations of one object.
type notes struct {
	r     *Reader
	amiss func(field, text, remedy string)
	known []string
	first string // of those on retries that are there
}

func (n *notes) ref(key string) decision.Ref { return n.r.Ref.At(key) }

// value returns what an annotation says that counts on the object.
func (n *notes) value(key string) (string, bool) {
	v, ok := n.r.Object.Annotations[key]
	ok = ok && slices.Contains(n.known, key)
	if ok && n.first == "" && key != timeoutRequest {
		n.first = key
	}
	return v, ok
}

func (n *notes) wrong(key string, why error, remedy string) {
	n.amiss(Child("metadata.annotations", key), fmt.Sprintf("%q: %v", n.r.Object.Annotations[key], why), remedy)
}

func (n *notes) duration(key string) (time.Duration, bool) {
	text, ok := n.value(key)
	if !ok {
		return 0, false
	}
	d, err := linkerdDuration(text)
	if err != nil {
		n.wrong(key, err, "write 500ms, 10s, 5m, 1h or 1d")
	}
	return d, err == nil
}

// linkerdDuration reads a whole number and its unit, without which 0 alone may be (parse_duration in policy-controller/k8s/index/src/outbound).
func linkerdDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	unit, ok := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[text[len(number):]]
	v, err := strconv.ParseUint(number, 10, 64)
	switch {
	case err == nil && v == 0 && number == text:
		return 0, nil
	case err != nil:
		return 0, errors.New("it is not a whole number and a unit")
	case !ok:
		return 0, errors.New("the unit is none of ms, s, m, h and d")
	case v > uint64(math.MaxInt64/unit):
		return 0, errors.New("it is too long")
	}
	return time.Duration(v) * unit, nil
}

// limit is how often a call is made again; 0: nothing is said of it, or it is to be as if nothing were.
func (n *notes) limit() int {
	text, ok := n.value(retryLimit)
	if !ok {
		return 0
	}
	v, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		n.wrong(retryLimit, errors.New("it is not a number of retries"), "write 1 or more")
	}
	return int(v)
}

// statuses are those of answers that are asked for again.
func (n *notes) statuses() (from500 bool, codes []int) {
	text, ok := n.value(retryHTTP)
	if !ok {
		return false, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		first, last := 0, 0
		switch low := strings.ToLower(word); low {
		case "5xx":
			from500 = true
			continue
		case "gateway-error":
			first, last = 502, 504
		default:
			a, b, isRange := strings.Cut(low, "-")
			if !isRange {
				b = a
			}
			first, last = status(a), status(b)
		}
		if first == 0 || last < first {
			n.wrong(retryHTTP, fmt.Errorf("%q is no status, and no range of them", word), "write 5xx, gateway-error, 429 or 500-504, with commas between")
			return false, nil
		}
		for code := first; code <= last; code++ {
			codes = append(codes, code)
		}
	}
	return from500, codes
}

// status reads one from 100 to 599; 0: it is none.
func status(text string) int {
	v, err := strconv.ParseUint(text, 10, 16)
	if err != nil || v < 100 || v > 599 {
		return 0
	}
	return int(v)
}

// grpcCodes are the words that Linkerd knows for gRPC's codes.
var grpcCodes = map[string]int{"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}

// codes are those of gRPC answers that are asked for again.
func (n *notes) codes() (codes []int) {
	text, ok := n.value(retryGRPC)
	if !ok {
		return nil
	}
	for word := range strings.SplitSeq(text, ",") {
		code, known := grpcCodes[strings.ToLower(word)]
		if !known {
			n.wrong(retryGRPC, fmt.Errorf("%q is no condition", word), "write cancelled, deadline-exceeded, internal, resource-exhausted or unavailable, with commas between")
			return nil
		}
		codes = append(codes, code)
	}
	return codes
}
