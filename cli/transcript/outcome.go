package transcript

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Outcome is what is to become of a call, or of a share of such calls.
type Outcome struct {
	Share   int    // percent; 0: not said
	Often   Often  // of a call that is made several times
	Status  int    // 0: refused, or not said for TCP
	Refused bool   // no answer
	OK      bool   // a TCP connection that works
	Target  string // service, by name, name.namespace or full; empty: not said
	Subset  string
	At      string      // the workload, by name or namespace/name; empty: not said
	Alike   bool        // all such calls are one workload's, whichever
	Counts  string      // "failure" or "success"; empty: not said
	CountBy string      // beginning of the words of the rule that says so; empty: not said
	GRPC    string      // grpc-status; empty: not said
	Tries   int         // attempts; 0: not said
	Because string      // beginning of the deciding verdict's words; empty: not said
	Sees    [][2]string // headers, "path", "query" or "host", as the application gets them; an empty value: it is not there
	Returns [][2]string // headers of the answer
	Copies  []Copy      // where copies of the call go
}

// Often is how often an outcome is to be had: so many times, or at least or at most so many. Zero: at least once.
type Often struct {
	Times       int
	Least, Most bool
}

// Copy is where a mirror sends a call too.
type Copy struct{ Service, Subset string }

func outcomes(words []string) (out []Outcome, err error) {
	for len(words) > 0 {
		end := slices.Index(words, "|")
		if end < 0 {
			end = len(words)
		}
		o, err := outcome(words[:end])
		if err != nil {
			return nil, err
		}
		out = append(out, o)
		words = words[min(end+1, len(words)):]
	}
	return out, nil
}

func outcome(words []string) (o Outcome, err error) {
	if words, err = o.howOften(words); err != nil {
		return o, err
	}
	if len(words) == 0 {
		return o, errors.New("an outcome is empty: want a status, ok or refused")
	}
	switch words[0] {
	case "refused":
		o.Refused = true
	case "ok":
		o.OK = true
	default:
		if o.Status, err = strconv.Atoi(words[0]); err != nil {
			return o, fmt.Errorf("%q: want a status, ok or refused", words[0])
		}
	}
	return o, o.rest(words[1:])
}

// howOften reads a share or a count from an outcome's beginning, and returns the words behind it.
func (o *Outcome) howOften(words []string) (rest []string, err error) {
	if len(words) > 0 && strings.HasSuffix(words[0], "%") {
		o.Share, err = number(strings.TrimSuffix(words[0], "%"), 100)
		return words[1:], err
	}
	if len(words) > 1 && words[0] == "at" && (words[1] == "least" || words[1] == "most") {
		o.Often.Least, o.Often.Most = words[1] == "least", words[1] == "most"
		words = words[2:]
	}
	if len(words) < 2 || words[1] != "times" && words[1] != "time" {
		if o.Often.Least || o.Often.Most {
			return nil, errors.New("want at least N times, or at most N times")
		}
		return words, nil
	}
	o.Often.Times, err = number(words[0], maxTimes)
	return words[2:], err
}

// words that begin a part of an outcome.
var parts = []string{"because", "subset", "at", "sees", "returns", "grpc", "attempts", "copied", "counts"}

func (o *Outcome) rest(words []string) error {
	for len(words) > 0 {
		n, err := o.part(words[0], words[1:])
		if err != nil {
			return err
		}
		words = words[1+n:]
	}
	return nil
}

// part reads one part that begins with word, and returns how many of the words behind it belong to it.
func (o *Outcome) part(word string, rest []string) (n int, err error) {
	switch word {
	case "because":
		o.Because, n = phrase(rest)
	case "sees":
		o.Sees, n, err = pairs(rest)
	case "returns":
		o.Returns, n, err = pairs(rest)
	case "copied":
		return o.copied(rest)
	case "at":
		return o.at(rest)
	case "counts":
		return o.counts(rest)
	case "subset", "grpc", "attempts":
		if len(rest) == 0 {
			return 0, fmt.Errorf("%s: what follows it is missing", word)
		}
		n = 1
		switch word {
		case "subset":
			o.Subset = rest[0]
		case "grpc":
			o.GRPC = rest[0]
		default:
			o.Tries, err = strconv.Atoi(rest[0])
		}
	default:
		if o.Target != "" {
			return 0, fmt.Errorf("%q is not understood after %q", word, o.Target)
		}
		o.Target = word
	}
	return n, err
}

// phrase is the words up to the next part.
func phrase(words []string) (string, int) {
	n := 0
	for n < len(words) && !slices.Contains(parts, words[n]) {
		n++
	}
	return strings.Join(words[:n], " "), n
}

func pairs(words []string) (out [][2]string, n int, err error) {
	for _, w := range words {
		if slices.Contains(parts, w) {
			break
		}
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return nil, 0, fmt.Errorf("%q: want NAME=VALUE", w)
		}
		out = append(out, [2]string{strings.ToLower(k), v})
		n++
	}
	return out, n, nil
}

func (o *Outcome) copied(rest []string) (n int, err error) {
	if len(rest) < 2 || rest[0] != "to" {
		return 0, errors.New("want copied to SERVICE, and subset NAME if it has one")
	}
	c := Copy{Service: rest[1]}
	if n = 2; len(rest) > 3 && rest[2] == "subset" {
		c.Subset, n = rest[3], 4
	}
	o.Copies = append(o.Copies, c)
	return n, nil
}

func (o *Outcome) at(rest []string) (n int, err error) {
	switch {
	case len(rest) == 0:
		return 0, errors.New("at: which workload is missing")
	case rest[0] == "one" && len(rest) > 1 && rest[1] == "endpoint":
		o.Alike = true
		return 2, nil
	}
	o.At = rest[0]
	return 1, nil
}

func (o *Outcome) counts(rest []string) (n int, err error) {
	if len(rest) == 0 || rest[0] != "failure" && rest[0] != "success" {
		return 0, errors.New("want counts failure or counts success, and by OBJECT if it matters")
	}
	o.Counts = rest[0]
	if len(rest) < 2 || rest[1] != "by" {
		return 1, nil
	}
	o.CountBy, n = phrase(rest[2:])
	return 2 + n, nil
}

// often says whether the numbers of a call's outcomes can be.
func (c *Call) often() error {
	sum, exact := 0, true
	for i := range c.Outcomes {
		o := &c.Outcomes[i]
		if c.Times == 0 && (o.Often.Times > 0 || o.Alike) {
			return errors.New("the outcome is of several calls: how many of them are made, times=N says")
		}
		sum += o.Often.Times
		exact = exact && o.Often.Times > 0 && !o.Often.Least && !o.Often.Most
	}
	if exact && sum != c.Times {
		return fmt.Errorf("the outcomes are of %d calls, and times=%d", sum, c.Times)
	}
	return nil
}

func (o *Outcome) String() string {
	var words []string
	switch {
	case o.Refused:
		words = append(words, "refused")
	case o.OK:
		words = append(words, "ok")
	default:
		words = append(words, strconv.Itoa(o.Status))
	}
	words = append(o.Often.words(o.Share), words...)
	words = append(words, o.Target)
	if o.Subset != "" {
		words = append(words, "subset "+o.Subset)
	}
	switch {
	case o.Alike:
		words = append(words, "at one endpoint")
	case o.At != "":
		words = append(words, "at "+o.At)
	}
	if o.GRPC != "" {
		words = append(words, "grpc "+o.GRPC)
	}
	if o.Tries > 0 {
		words = append(words, fmt.Sprint("attempts ", o.Tries))
	}
	for _, c := range o.Copies {
		words = append(words, "copied to "+c.Service, strings.TrimSuffix("subset "+c.Subset, "subset "))
	}
	if o.Because != "" {
		words = append(words, "because "+o.Because)
	}
	if o.Counts != "" {
		words = append(words, "counts "+o.Counts)
	}
	if o.CountBy != "" {
		words = append(words, "by "+o.CountBy)
	}
	for name, list := range map[string][][2]string{"sees": o.Sees, "returns": o.Returns} {
		for i, p := range list {
			if i == 0 {
				words = append(words, name)
			}
			words = append(words, p[0]+"="+p[1])
		}
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

func (t Often) words(share int) []string {
	switch {
	case share > 0:
		return []string{strconv.Itoa(share) + "%"}
	case t.Times == 0:
		return nil
	case t.Least:
		return []string{"at least", strconv.Itoa(t.Times), "times"}
	case t.Most:
		return []string{"at most", strconv.Itoa(t.Times), "times"}
	}
	return []string{strconv.Itoa(t.Times), "times"}
}
