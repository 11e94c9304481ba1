package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/weft-mesh/weft/internal/sys"
)

// statusFD is where the launcher says why it could not become the application. Success closes it.
const statusFD = 3

// capSetpcap is CAP_SETPCAP (linux/capability.h), with which the launcher empties its bounding set.
const capSetpcap = 8

// fork starts the launcher, in a user namespace below the sandbox's, where the application has its user's number again. Being
// below takes from it every power over the sandbox's network, mounts and init.
func (p *initProcess) fork(c *Command, std []*os.File) (pid int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	files := []uintptr{std[0].Fd(), std[1].Fd(), std[2].Fd(), w.Fd()}
	pid, err = syscall.ForkExec("/proc/self/exe", append([]string{launchName}, c.Args...), &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: files,
		Sys: &syscall.SysProcAttr{
			Cloneflags:  sys.NewUsers,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: p.spec.UID, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: p.spec.GID, HostID: 0, Size: 1}},
			Setsid:      true, // no controlling terminal: a background group could not read from it
			AmbientCaps: []uintptr{capSetpcap},
		},
	})
	runtime.KeepAlive(std)
	w.Close()
	if err != nil {
		return 0, fmt.Errorf("%w (working directory %s)", err, c.Dir)
	}
	why, err := io.ReadAll(r)
	if err == nil && len(why) > 0 {
		err = errors.New(string(why))
	}
	if err != nil {
		var status syscall.WaitStatus
		syscall.Wait4(pid, &status, 0, nil) // it has said its last word
		return 0, err
	}
	return pid, nil
}

// launch gives up every privilege and becomes the application.
func launch() (status int) {
	runtime.LockOSThread() // capabilities belong to a thread, and exec keeps those of the one that calls it
	err := become(os.Args[1:])
	fmt.Fprint(os.NewFile(statusFD, "status"), err)
	return 127
}

func become(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	for _, give := range []func() error{sys.DropCapabilities, sys.NoNewPrivileges, func() error { return sys.CloseOnExecFrom(3) }} {
		if err := give(); err != nil {
			return err
		}
	}
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, args, os.Environ())}
}
