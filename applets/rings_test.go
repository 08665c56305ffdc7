package applets_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"zinit/testdata/ring"
)

// skipRing leaves a test out, loudly.
func skipRing(t *testing.T, name, why, help string) {
	t.Helper()
	ring.Skip(t, name, why, help)
}

// wantPrograms skips a ring that lacks one of these.
func wantPrograms(t *testing.T, ring string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := findProgram(name); err != nil {
			skipRing(t, ring, "no "+name, "as root, run: testdata/setup.sh "+ring)
		}
	}
}

// findProgram also looks where PATH of a plain user does not.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", os.ErrNotExist
}

// wantNamespaces skips the PID 1 ring where the kernel refuses user and pid
// namespaces, as it does in many sandboxes.
func wantNamespaces(t *testing.T) {
	t.Helper()
	cmd := exec.Command(filepath.Join(built, "wit"), "-exit", "0")
	cmd.SysProcAttr = namespaces()
	if err := cmd.Run(); err != nil {
		skipRing(t, "pid1", "no user and pid namespaces: "+err.Error(),
			"as root, run: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000")
	}
}

// namespaces are those of a container: users (we are root in it), processes,
// mounts, host name, System V IPC, network. Only root may give it more users
// than himself.
func namespaces() *syscall.SysProcAttr {
	size := 1
	if os.Getuid() == 0 {
		size = 65536
	}
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: size}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: size}},
		GidMappingsEnableSetgroups: size > 1,
		Setsid:                     true,
	}
}

// notShort leaves a slow test out of `go test -short`.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow; run without -short")
	}
}
