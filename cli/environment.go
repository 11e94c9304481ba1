package cli

import (
	"os"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/control"
)

// environment is the caller's with what a pod would find: its own name and address, and services of its namespace (Kubernetes'
// convention: NAME_SERVICE_HOST, NAME_SERVICE_PORT, NAME_SERVICE_PORT_PORTNAME). Where there is no sandbox, it is the one way to
// find services, so those of other namespaces are there too, as NAME_NAMESPACE_SERVICE_HOST and so on.
func (w *workload) environment() []string {
	namespace, name, _ := cutKey(w.member.given.Workload)
	e := environment{}
	e.set("POD_NAME", name)
	e.set("POD_NAMESPACE", namespace)
	e.set("POD_IP", w.member.given.Address)
	e.set("HOSTNAME", name)
	if w.box == nil {
		e.set("HOST", w.member.given.Address)
	}
	if len(w.member.reg.Ports) > 0 {
		e.set("PORT", number(w.member.reg.Ports[0].Number))
	}
	for i := range w.member.given.Services {
		s := &w.member.given.Services[i]
		switch {
		case s.Namespace == namespace:
			w.tell(&e, s.Name, s)
		case w.box == nil:
			w.tell(&e, s.Name+"_"+s.Namespace, s)
		}
	}
	return e.over(os.Environ())
}

// tell adds where a service is.
func (w *workload) tell(e *environment, name string, s *control.ServiceAddr) {
	if s.IP == "" || len(s.Ports) == 0 {
		return
	}
	prefix := variable(name) + "_SERVICE_"
	for i, p := range s.Ports {
		host, port := w.reach(s, p.Number)
		if i == 0 {
			e.set(prefix+"HOST", host)
			e.set(prefix+"PORT", number(port))
		}
		if p.Name != "" {
			e.set(prefix+"PORT_"+variable(p.Name), number(port))
		}
	}
}

// reach is where the process finds a service's port: at its virtual address, or at what stands in for it.
func (w *workload) reach(s *control.ServiceAddr, port uint16) (string, uint16) {
	for i := range w.virtual {
		if v := &w.virtual[i]; v.host == s.Host && v.original.Port() == port {
			return v.at.Addr().String(), v.at.Port()
		}
	}
	return s.IP, port
}

func variable(name string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

func number(port uint16) string { return strconv.Itoa(int(port)) }

// environment is variables in order; each name once, since of two equal ones some programs take the first and some the last.
type environment struct {
	lines []string
	names map[string]bool
}

func (e *environment) set(name, value string) {
	if e.names == nil {
		e.names = map[string]bool{}
	}
	if !e.names[name] {
		e.names[name] = true
		e.lines = append(e.lines, name+"="+value)
	}
}

// over returns what is below where e does not say otherwise, and e.
func (e *environment) over(below []string) (out []string) {
	for _, line := range below {
		if name, _, _ := strings.Cut(line, "="); !e.names[name] {
			out = append(out, line)
		}
	}
	return append(out, e.lines...)
}
