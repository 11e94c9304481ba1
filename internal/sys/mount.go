package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// KeepMounts makes that what this mount namespace mounts stays in it, while what the rest of the machine mounts comes in.
func KeepMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts inside: %w", err)
	}
	return nil
}

// Bind shows the file or directory at from also at to, which exists.
func Bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

// Pin makes a mount point of a file or directory: what runs in this mount namespace can't rename or remove it (EBUSY; rename(2)), and
// finds there what it found before.
func Pin(path string) error {
	if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to itself: %w", path, err)
	}
	return nil
}

// ReadOnly keeps what runs in this mount namespace from writing under path, a file or directory, and what is mounted there.
func ReadOnly(path string) error { return readOnly(path, unix.AT_RECURSIVE) }

// Fix keeps what runs in this mount namespace from making and removing files in the directory dir. Devices there can be written as
// before, and so can what is mounted below.
func Fix(dir string) error { return readOnly(dir, 0) }

func readOnly(path string, how uint) error {
	if err := Pin(path); err != nil {
		return err
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, how, attr); err != nil {
		return fmt.Errorf("make %s read-only: %w (needs Linux 5.12)", path, err)
	}
	return nil
}

// MountTmpfs mounts an empty file system in memory at dir, for files of up to 256 KB in all.
func MountTmpfs(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=256k,mode=755"); err != nil {
		return fmt.Errorf("tmpfs at %s: %w", dir, err)
	}
	return nil
}

// Cover hides the directory dir behind an empty one that can't be written.
func Cover(dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "size=4k,mode=555"); err != nil {
		return fmt.Errorf("cover %s: %w", dir, err)
	}
	return nil
}

// MountProc mounts /proc for the pid namespace of the calling process. EPERM where parts of the present /proc are hidden, as
// in many containers.
func MountProc() error {
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc at /proc: %w", err)
	}
	return nil
}

// Unmount takes away the topmost mount at dir. What is bound from it stays.
func Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}
