package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"github.com/weft-mesh/weft/internal/sys"
)

// statusFD is where the launcher says why it could not become the application. Success closes it.
const statusFD = 3

// launcherCaps are what the launcher needs until it is done (linux/capability.h): CAP_SETGID, CAP_SETUID and CAP_SYS_ADMIN
// to say who its user is, CAP_SETPCAP to empty its bounding set. They reach no further than its own user namespace.
var launcherCaps = []uintptr{6, 7, 21, 8}

// fork starts the launcher, in a user namespace below the sandbox's, where the application has its user's number again. Being
// below takes from it every power over the sandbox's network, mounts and init.
func (p *initProcess) fork(c *Command, std []*os.File) (pid int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	args := append([]string{launchName, strconv.Itoa(p.spec.UID), strconv.Itoa(p.spec.GID)}, c.Args...)
	pid, err = syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []uintptr{std[0].Fd(), std[1].Fd(), std[2].Fd(), w.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  sys.NewUsers,
			AmbientCaps: launcherCaps,
			Setsid:      true, // no controlling terminal: a background group could not read from it
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
		_, _ = syscall.Wait4(pid, &status, 0, nil) // it has said its last word
		return 0, err
	}
	return pid, nil
}

// launch gives up every privilege and becomes the application.
func launch() (status int) {
	runtime.LockOSThread() // capabilities belong to a thread, and exec keeps those of the one that calls it
	err := mapUser(os.Args[1], os.Args[2])
	if err == nil {
		err = become(os.Args[3:])
	}
	fmt.Fprint(os.NewFile(statusFD, "status"), err)
	return 127
}

// mapUser gives this user namespace its one user and group, which are root's of the one above. The launcher does it for itself:
// the init may not know it by its number, where the /proc of the sandbox is the machine's.
func mapUser(uid, gid string) error {
	for _, file := range [][2]string{{"setgroups", "deny"}, {"uid_map", uid + " 0 1"}, {"gid_map", gid + " 0 1"}} {
		if err := write("/proc/self/"+file[0], file[1]); err != nil {
			return fmt.Errorf("user of the application: %w", err)
		}
	}
	return nil
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
