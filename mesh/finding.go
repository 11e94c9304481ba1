package mesh

import "github.com/weft-mesh/weft/decision"

// Level is how bad a finding is.
type Level uint8

const (
	Info    Level = iota // worth knowing; nothing is lost
	Warning              // something does not take effect, or not as the author may think
	Error                // the object, or its new version, is not in force
)

func (l Level) String() string { return [...]string{"info", "warning", "error"}[l] }

// Finding is what weft has to say about an object: by its reader, by a merge, or by compile.
type Finding struct {
	Ref    decision.Ref
	Field  string // path, as "spec.http[0].match[1].uri"; empty: the whole object
	Text   string // what, and why
	Remedy string // what to do
	Level  Level
}

func (f *Finding) String() string { return f.Ref.String() + ": " + f.Said() }

// Said is the finding without the object that it is of.
func (f *Finding) Said() (s string) {
	if f.Field != "" {
		s = f.Field + ": "
	}
	if s += f.Text; f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}
