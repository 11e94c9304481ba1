package hbone

import "strings"

// Baggage is what a caller says of itself. Empty: not said.
type Baggage struct {
	Cluster   string // k8s.cluster.name
	Namespace string // k8s.namespace.name
	Kind      string // deployment, cronjob, pod or job: the middle of the workload's key
	Workload  string // k8s.<kind>.name
	Service   string // service.name
	Version   string // service.version
	Region    string // cloud.region
	Zone      string // cloud.availability_zone
}

// ParseBaggage reads a baggage field (W3C Baggage: members separated by commas, properties after a semicolon). Members that
// are not known or not well-formed are skipped.
func ParseBaggage(s string) Baggage {
	var b Baggage
	for len(s) > 0 {
		var member string
		member, s, _ = strings.Cut(s, ",")
		member, _, _ = strings.Cut(member, ";")
		key, value, ok := strings.Cut(member, "=")
		if !ok {
			continue
		}
		key, value = strings.Trim(key, " \t"), decode(strings.Trim(value, " \t"))
		if into := b.field(key); into != nil {
			*into = value
		} else if kind, ok := workloadKind(key); ok {
			b.Kind, b.Workload = kind, value
		}
	}
	return b
}

func (b *Baggage) field(key string) *string {
	switch key {
	case "k8s.cluster.name":
		return &b.Cluster
	case "k8s.namespace.name":
		return &b.Namespace
	case "service.name":
		return &b.Service
	case "service.version":
		return &b.Version
	case "cloud.region":
		return &b.Region
	case "cloud.availability_zone":
		return &b.Zone
	}
	return nil
}

func workloadKind(key string) (string, bool) {
	kind, ok := strings.CutPrefix(key, "k8s.")
	if !ok {
		return "", false
	}
	kind, ok = strings.CutSuffix(kind, ".name")
	switch kind {
	case "deployment", "cronjob", "pod", "job":
		return kind, ok
	}
	return "", false
}

// Append writes the members that are said, in the order that ztunnel has.
func (b Baggage) Append(out []byte) []byte {
	start := len(out)
	kind := b.Kind
	if kind == "" {
		kind = "deployment"
	}
	add := func(value string, key ...string) {
		if value == "" {
			return
		}
		if len(out) > start {
			out = append(out, ',')
		}
		for _, k := range key {
			out = append(out, k...)
		}
		out = encode(append(out, '='), value)
	}
	add(b.Cluster, "k8s.cluster.name")
	add(b.Namespace, "k8s.namespace.name")
	add(b.Workload, "k8s.", kind, ".name")
	add(b.Service, "service.name")
	add(b.Version, "service.version")
	add(b.Region, "cloud.region")
	add(b.Zone, "cloud.availability_zone")
	return out
}

const hex = "0123456789ABCDEF"

// encode writes a value: "baggage-octet = %x21 / %x23-2B / %x2D-3A / %x3C-5B / %x5D-7E", and '%' stands for itself encoded.
func encode(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && !strings.ContainsRune("\",;\\%", rune(c)) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// decode allocates only if something is encoded; what is no code stays as it is.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 16 && lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}
