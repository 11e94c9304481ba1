package sandbox

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func TestCause(t *testing.T) {
	const (
		most     = "/proc/sys/user/max_user_namespaces"
		debian   = "/proc/sys/kernel/unprivileged_userns_clone"
		apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
	)
	for _, c := range []struct {
		step     string
		errno    syscall.Errno
		settings map[string]string
		want     string // empty: the machine is not to blame
	}{
		{"new namespaces", syscall.EPERM, map[string]string{most: "0"}, "sysctl user.max_user_namespaces=10000"},
		{"new namespaces", syscall.ENOSPC, map[string]string{most: "0"}, "sysctl user.max_user_namespaces=10000"},
		{"new namespaces", syscall.EPERM, map[string]string{most: "9", debian: "0"}, "sysctl kernel.unprivileged_userns_clone=1"},
		{"routes", syscall.EPERM, map[string]string{apparmor: "1"}, "sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{"new namespaces", syscall.ENOSPC, map[string]string{most: "9"}, "too many namespaces"},
		{"new namespaces", syscall.EPERM, nil, "seccomp"},
		{"routes", syscall.EPERM, nil, "security module"},
		{"nftables", syscall.ENOENT, nil, "modprobe -a nf_tables"},
		{"nftables", syscall.EOPNOTSUPP, nil, "modprobe -a nf_tables"},
		{"nftables", syscall.EPERM, nil, "forbids nftables"},
		{"new namespaces", syscall.ENOMEM, nil, ""},
		{"listeners", syscall.EADDRINUSE, map[string]string{apparmor: "1"}, ""},
	} {
		got := cause(c.step, c.errno, func(path string) string { return c.settings[path] })
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s %v %v: got %q, want %q", c.step, c.errno, c.settings, got, c.want)
		}
	}
}

func TestSpecRefuses(t *testing.T) {
	good := Spec{Address: parse("127.64.0.5")}
	if _, err := good.complete(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Spec){
		"no address":         func(s *Spec) { s.Address = parse("") },
		"IPv6 address":       func(s *Spec) { s.Address = parse("::1") },
		"a second line":      func(s *Spec) { s.Search = []string{"a\nnameserver 1.1.1.1"} },
		"two names":          func(s *Spec) { s.Hostname = "a b" },
		"a long name":        func(s *Spec) { s.Hostname = strings.Repeat("a", 64) },
		"a comment in hosts": func(s *Spec) { s.Hostname = "a#b" },
	} {
		s := good
		change(&s)
		if _, err := s.complete(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func parse(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}
