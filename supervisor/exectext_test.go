package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"zinit/supervisor/spec"
)

// write makes a file below a directory of the test's.
func write(t *testing.T, file, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// program writes a header of a program for this machine, and one of its parts: that
// which names its interpreter, should it have one.
func program(t *testing.T, file, interpreter string) string {
	t.Helper()
	whole, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	head := append([]byte(nil), whole[:64]...)
	head[54], head[56], head[57] = 56, 1, 0 // one program header, at 64
	ph := make([]byte, 56)
	if interpreter != "" {
		ph[0], ph[8], ph[32] = elfInterp, 120, byte(len(interpreter)+1)
	}
	return write(t, file, string(head)+string(ph)+interpreter+"\x00", 0o755)
}

// One errno of execve(2) has many reasons; the text tells them apart and names
// the file to be looked at.
func TestEveryReasonOfAFailedExecIsToldApart(t *testing.T) {
	d := t.TempDir()
	link := func(to, name string) string {
		name = filepath.Join(d, name)
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	file := write(t, d+"/bin/plain", "hello", 0o755)
	foreign := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 57)...)
	foreign[18] = 0x16 // s390
	for _, c := range []struct {
		program string
		errno   syscall.Errno
		want    string
	}{
		{d + "/bin/absent", unix.ENOENT, "there is no file " + d + "/bin/absent"},
		{d + "/nowhere/deep/x", unix.ENOENT, "there is no directory " + d + "/nowhere"},
		{"bin/absent", unix.ENOENT, "there is no file " + d + "/bin/absent"},
		{link("gone", "dangling"), unix.ENOENT, "a symbolic link to gone, which does not exist"},
		{write(t, d+"/script", "#!/no/such/sh\n", 0o755), unix.ENOENT, "the interpreter of " + d + "/script: there is no directory /no"},
		{write(t, d+"/twice", "#!"+d+"/script\n", 0o755), unix.ENOENT, "the interpreter of " + d + "/twice: the interpreter of " + d + "/script: there is no directory /no"},
		{write(t, d+"/endless", "#!"+d+"/endless\n", 0o755), unix.ELOOP, "no more than 5"},
		{write(t, d+"/dos", "#!/bin/sh\r\n", 0o755), unix.ENOENT, "CR LF"},
		{"nosuchprogram", unix.ENOENT, "in no directory of the service's PATH: /sbin:" + d + "/bin"},
		{write(t, d+"/data", "x", 0o640), unix.EACCES, "is not executable (mode 0640): chmod +x " + d + "/data"},
		{d + "/bin", unix.EACCES, "is a directory"},
		{write(t, d+"/by", "#!"+d+"/data\n", 0o755), unix.EACCES, "the interpreter of " + d + "/by: " + d + "/data is not executable"},
		{"plain", unix.EACCES, file + " is no program"},
		{file, unix.ENOEXEC, "is no program, and has no #! line"},
		{write(t, d+"/empty", "", 0o755), unix.ENOEXEC, "is empty"},
		{write(t, d+"/bare", "#!\n", 0o755), unix.ENOEXEC, "names no interpreter"},
		{write(t, d+"/foreign", string(foreign), 0o755), unix.ENOEXEC, "for another machine (S390)"},
		{file + "/x", unix.ENOTDIR, file + ", on the way to " + file + "/x, is no directory"},
		{link("round", "round"), unix.ELOOP, "leads in a circle"},
		{"/bin/sh", unix.E2BIG, "too large"},
		{"/bin/sh", unix.EACCES, "not by user www"},
	} {
		sp := &spec.Spec{Dir: d, User: "www", Exec: spec.Command{Argv: []string{c.program}}}
		text := execText(sp, "/sbin:"+d+"/bin", c.errno)
		if !strings.Contains(text, c.want) || !strings.Contains(text, c.errno.Error()) || !strings.HasPrefix(text, "cannot run ") {
			t.Errorf("%s, %v: %q, want %q in it", c.program, c.errno, text, c.want)
		}
	}
}

// With a root of its own also the interpreter is meant in there, the loader of a
// program above all: that it is not is the first thing to go wrong in a chroot.
func TestAnInterpreterIsLookedForInTheRootOfTheService(t *testing.T) {
	d := t.TempDir()
	write(t, d+"/script", "#!/bin/sh\n", 0o755)
	write(t, d+"/bin/other", "x", 0o755)
	if err := os.Symlink(program(t, t.TempDir()+"/outside", ""), d+"/link"); err != nil {
		t.Fatal(err)
	}
	loaded := program(t, d+"/loaded", "/lib64/loader.so.2")
	for program, want := range map[string]string{
		"/script": "the interpreter of " + d + "/script: there is no file " + d + "/bin/sh",
		"/loaded": "the interpreter of " + loaded + ": there is no directory " + d + "/lib64",
		"/link":   "something that " + d + "/link leads to, such as a symbolic link, is not in its chroot",
	} {
		sp := &spec.Spec{Dir: "/", Chroot: d, Exec: spec.Command{Argv: []string{program}}}
		if text := execText(sp, "/bin", unix.ENOENT); !strings.HasSuffix(text, want) {
			t.Errorf("%s: %q, want %q", program, text, want)
		}
	}
}

// A mount that does not answer still leaves a reason that says where was looked.
func TestAProgramThatCannotBeLookedAtSaysWhereWasLooked(t *testing.T) {
	for program, want := range map[string]string{"nosuchprogram": "in the service's PATH: /sbin:/bin", "/mnt/web": "to a look at it"} {
		sp := &spec.Spec{Exec: spec.Command{Argv: []string{program}}}
		text := unseenText(sp, "/sbin:/bin", unix.ENOENT)
		for _, part := range []string{want, program, unix.ENOENT.Error(), "no answer within 3s"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q lacks %q", text, part)
			}
		}
	}
}

// Every step that may be refused says what was asked for and what to do.
func TestARefusedStepNamesItsKeyAndTheRemedy(t *testing.T) {
	caps := uint64(1 << unix.CAP_NET_BIND_SERVICE)
	sp := &spec.Spec{Dir: "/srv", User: "www", Nice: -5, IONice: spec.IONice{Class: 1, Level: 2}, Capabilities: &caps,
		Chroot: "/jail", TTY: "/dev/tty9", Exec: spec.Command{Argv: []string{"/bin/web"}}}
	for step, want := range map[string][]string{
		"nice": {"nice = -5", "CAP_SYS_NICE"}, "ionice": {"realtime:2", "CAP_SYS_NICE"}, "setuid": {`user "www"`, "not run as root"},
		"setgroups": {`user "www"`, "not run as root"}, "capabilities": {"[net_bind_service]", "CAP_SETPCAP"}, "limit": {"[limits]", "CAP_SYS_RESOURCE, and nofile ends at /proc/sys/fs/nr_open"},
		"oom_score_adj": {"oom_score_adj", "CAP_SYS_RESOURCE"}, "chroot": {`"/jail"`, "CAP_SYS_CHROOT"}, "tty": {`"/dev/tty9"`, "another session"},
		"chdir": {`"/srv"`, `inside chroot "/jail"`}, "cpus": {"cpus", "root"}, "no_new_privileges": {"no_new_privileges"}, "cgroup": {"cgroup"}, "clone": {"pids.max"},
	} {
		text := spawnText(sp, step, unix.EPERM)
		for _, part := range append(want, "cannot", unix.EPERM.Error()) {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q lacks %q", step, text, part)
			}
		}
	}
}

// What is closed to the user is named, and what is cut short, or above a limit.
func TestReasonsNameWhatIsClosedCutShortOrTooHigh(t *testing.T) {
	d := t.TempDir()
	file := write(t, d+"/closed/x", "#!/bin/sh\n", 0o755)
	if err := os.Chmod(d+"/closed", 0o700); err != nil {
		t.Fatal(err)
	}
	sp := &spec.Spec{Exec: spec.Command{Argv: []string{file}}, User: "12345", Groups: []string{"tape"}}
	if got := execText(sp, "", unix.EACCES); !strings.Contains(got, "not by user 12345: the directory "+d+"/closed (mode 0700) is closed to it") {
		t.Errorf("got %q", got)
	}
	sp.User = ""
	if got := spawnText(sp, "setgroups", unix.EPERM); !strings.HasPrefix(got, `cannot become groups "tape": setgroups: `) {
		t.Errorf("got %q", got)
	}
	if got := spawnText(sp, "chdir", unix.EACCES); strings.Contains(got, "of zinit") || !strings.Contains(got, "as which zinit runs, may not") {
		t.Errorf("got %q", got)
	}
	cut := program(t, d+"/cut", "/lib64/loader.so.2")
	if err := os.Truncate(cut, 124); err != nil {
		t.Fatal(err)
	}
	sp.Exec.Argv[0] = cut
	if got := execText(sp, "", unix.ENOEXEC); !strings.Contains(got, cut+" is a damaged program") {
		t.Errorf("got %q", got)
	}
	sp.Limits = []spec.Limit{{Resource: unix.RLIMIT_CORE, Soft: 0, Hard: 0}, {Resource: unix.RLIMIT_NOFILE, Soft: ^uint64(0), Hard: ^uint64(0)}}
	if got := spawnText(sp, "limit", unix.EPERM); !strings.HasPrefix(got, "cannot set what [limits] says of nofile: ") {
		t.Errorf("got %q", got)
	}
	sp.Exec.Argv = []string{"x"} // the rest comes from an env_file
	if got := spawnText(sp, "message", unix.E2BIG); !strings.HasSuffix(got, "are more than the 160 KiB that zinit passes on; the command and env of its file are 0 KiB") {
		t.Errorf("got %q", got)
	}
}
