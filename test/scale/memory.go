package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// memory is what a process has in RAM now, and the most that it has had, in bytes (proc_pid_status(5)).
func memory(pid int) (rss, peak int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(string(f[1])) // of other lines it is none
		switch string(f[0]) {
		case "VmRSS:":
			rss = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	if rss == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("/proc/%d/status does not say how much memory it uses", pid)
	}
	return rss, peak, nil
}
