package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Loss is made by nftables in a network namespace of the bench's own: whoever measures cannot lose packets of others.

const lossEnv = "WEFT_BENCH_LOSS"

// alone measures a case by the same program in a namespace that has a loopback and nothing else, and reads what it has found.
func (b *bench) alone(ctx context.Context, c *benchCase, f *flags) (out results, err error) {
	raw := filepath.Join(b.dir, "alone.json")
	cmd := exec.CommandContext(ctx, b.tools.self, "-case", c.name, "-raw", raw, "-cache", f.cache, "-rounds", strconv.Itoa(f.rounds), "-window", f.window.String(),
		"-peers", f.peers, "-callers", f.callers, "-foreign", fmt.Sprint(f.bound), "-nice", strconv.Itoa(f.nice))
	cmd.Env = append(os.Environ(), lossEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run() // which may say that targets are missed
	text, wrong := os.ReadFile(raw)
	if wrong != nil {
		return out, fmt.Errorf("in a network namespace: %w", errors.Join(err, wrong))
	}
	return out, json.Unmarshal(text, &out)
}

// enterAlone makes the namespace ready.
func enterAlone() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return nft("add table ip bench; add chain ip bench out { type filter hook output priority 0; }")
}

// lose drops 1 % of the packets from and to a port.
func lose(_ context.Context, port uint16) error {
	if os.Getenv(lossEnv) == "" {
		return errors.New("packets are lost in a namespace of its own only")
	}
	if port == 0 {
		return nil // nobody is between
	}
	p := strconv.Itoa(int(port))
	return nft("add rule ip bench out tcp dport " + p + " numgen random mod 100 < 1 drop; add rule ip bench out tcp sport " + p + " numgen random mod 100 < 1 drop")
}

func nft(script string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
