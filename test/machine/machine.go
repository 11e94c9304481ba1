// Package machine says what a benchmark ran on, for the pages that have its figures. What is not known is empty, or nearly.
package machine

import (
	"os"
	"runtime"
	"strings"
)

// Processor is its model.
func Processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // where there is none, the name is missing
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// Kernel is its version.
func Kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
