// Command inpod is what pods of a test cluster run besides applications, by the name that it is started by:
//
//	pause     holds a pod's namespaces, and waits for orphans
//	client    makes calls and tells of the answers
//	advanced  a server, which tells what it was asked
//
// client and advanced stand in for the programs of Gateway API's image echo-advanced, which is Istio's test application and is to be had
// from registries alone: they take those of its flags that the conformance suite uses, and print what it looks for.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	run := map[string]func([]string) error{"pause": pause, "client": client, "advanced": advanced}[name]
	if run == nil {
		fmt.Fprintf(os.Stderr, "inpod: started as %q; it is pause, client or advanced by its name\n", name)
		os.Exit(2)
	}
	if err := run(args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
