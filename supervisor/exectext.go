package supervisor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"zinit/supervisor/spec"
)

// execve(2) has one errno for many faults: ENOENT is an absent file, an absent
// interpreter, a link to nowhere. execText looks at the file to tell them
// apart, and names what is to be looked at. path is the service's PATH.
func execText(sp *spec.Spec, path string, errno syscall.Errno) string {
	name := sp.Exec.Argv[0]
	say := func(format string, args ...any) string {
		return fmt.Sprintf("cannot run %q: %v; ", name, errno) + fmt.Sprintf(format, args...)
	}
	switch errno {
	case unix.E2BIG:
		return say("arguments and environment are too large, or one of them is above 128 KiB; the command and env of its file are %s", size(argumentBytes(sp)))
	case unix.ENOMEM:
		return say("there is no memory for it")
	}
	file := found(sp, name, path)
	if file == "" && !strings.Contains(name, "/") {
		return say("it is in no directory of the service's PATH: %s", path)
	}
	if file == "" {
		file = place(sp, name)
	}
	if why := fault(sp, file, maxScripts); why != "" {
		return say("%s", why)
	}
	switch errno {
	case unix.EACCES, unix.EPERM:
		return say("%s can be executed, but not by %s%s", file, userText(sp), closed(sp, file))
	case unix.ENOENT:
		if sp.Chroot != "" {
			return say("something that %s leads to, such as a symbolic link, is not in its chroot", file)
		}
		return say("it was not there, and now is")
	}
	return say("look at %s", file)
}

// closed names the directory above a file that is closed to who runs it, as it is to
// everybody but its owner.
func closed(sp *spec.Spec, file string) string {
	uid := uint32(os.Geteuid())
	if who, err := lookUp(sp); err == nil && who.cred != nil {
		uid = who.cred.UID
	}
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil && st.Mode&0o011 == 0 && st.Uid != uid {
			return fmt.Sprintf(": the directory %s (mode %04o) is closed to it", dir, st.Mode&0o7777)
		}
		if dir == "/" || dir == "." {
			return ", or a directory above it is closed to it"
		}
	}
}

// place is where a command is from outside, should it have a root of its own.
func place(sp *spec.Spec, name string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join(sp.Dir, name)
	}
	return filepath.Join("/", sp.Chroot, name)
}

// found is the file that the errno is about: the command itself, or the first
// of its name in PATH that is there.
func found(sp *spec.Spec, name, path string) string {
	if strings.Contains(name, "/") {
		return place(sp, name)
	}
	for _, c := range candidates(name, path) {
		if _, err := os.Lstat(place(sp, c)); err == nil {
			return place(sp, c)
		}
	}
	return ""
}

// maxScripts is how many scripts the kernel follows, each the interpreter of the one
// before, until there is a program. Source: exec_binprm in linux/fs/exec.c.
const maxScripts = 5

// fault says what is wrong with a file that cannot be executed; "" when nothing
// is to be seen. As many scripts as more says may follow it.
func fault(sp *spec.Spec, file string, more int) string {
	if why := wayTo(file); why != "" {
		return why
	}
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, unix.ELOOP):
		return file + " is a symbolic link that leads in a circle"
	case errors.Is(err, fs.ErrNotExist):
		if to, err := os.Readlink(file); err == nil {
			return fmt.Sprintf("%s is a symbolic link to %s, which does not exist", file, to)
		}
		return fmt.Sprintf("there is no file %s", file)
	case err != nil:
		return err.Error()
	case st.IsDir():
		return file + " is a directory"
	case !st.Mode().IsRegular():
		return file + " is no file"
	case st.Mode()&0o111 == 0:
		return fmt.Sprintf("%s is not executable (mode %04o): chmod +x %s", file, st.Mode().Perm(), file)
	case noexec(file):
		return fmt.Sprintf("%s lies on a file system that is mounted noexec", file)
	}
	return content(sp, file, st.Size(), more)
}

// wayTo says which directory on the way to a file is missing or is none.
func wayTo(file string) string {
	for dir := filepath.Dir(file); dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		above, _ := os.Stat(filepath.Dir(dir))
		switch {
		case err == nil && !st.IsDir():
			return fmt.Sprintf("%s, on the way to %s, is no directory", dir, file)
		case errors.Is(err, fs.ErrNotExist) && above != nil && above.IsDir():
			return fmt.Sprintf("there is no directory %s", dir)
		case errors.Is(err, unix.ELOOP):
			return fmt.Sprintf("%s, on the way to %s, is a symbolic link that leads in a circle", dir, file)
		}
	}
	return ""
}

func noexec(file string) bool {
	var st unix.Statfs_t
	return unix.Statfs(file, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}

// content says what is wrong with what stands in a program.
func content(sp *spec.Spec, file string, size int64, more int) string {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	switch {
	case size == 0:
		return file + " is empty"
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[2:], []byte("\n"))
		words := strings.Fields(string(line))
		if len(words) == 0 {
			return fmt.Sprintf("%s names no interpreter after #!", file)
		}
		if strings.HasSuffix(string(line), "\r") {
			return fmt.Sprintf("the interpreter of %s is named %q: its lines end in CR LF, as on Windows", file, words[0]+"\r")
		}
		if more == 0 {
			return file + " is a script that a script interprets, which another does, and so on: the kernel follows no more than 5"
		}
		return interpreter(sp, file, words[0], more-1)
	case bytes.HasPrefix(head, []byte(elfMagic)):
		return elfFault(sp, file, f, head, more)
	}
	return fmt.Sprintf("%s is no program, and has no #! line", file)
}

// interpreter says what is wrong with the interpreter of a file.
func interpreter(sp *spec.Spec, file, name string, more int) string {
	if why := fault(sp, place(sp, name), more); why != "" {
		return fmt.Sprintf("the interpreter of %s: %s", file, why)
	}
	return ""
}

// elfFault judges a program by its header. Source: elf(5).
// The interpreter of a program has none of its own.
func elfFault(sp *spec.Spec, file string, f *os.File, head []byte, more int) string {
	if len(head) < 64 {
		return file + " is a damaged program"
	}
	machine, want := elfMachine(binary.LittleEndian.Uint16(head[18:])), machines[runtime.GOARCH]
	switch {
	case machine == elf386 && want == elfX8664:
		return "" // may run, may not
	case machine != want:
		return fmt.Sprintf("%s is a program for another machine (%v)", file, machine)
	}
	begin, each := binary.LittleEndian.Uint64(head[32:]), binary.LittleEndian.Uint16(head[54:])
	for i := range binary.LittleEndian.Uint16(head[56:]) {
		var ph [56]byte
		if _, err := f.ReadAt(ph[:], int64(begin)+int64(i)*int64(each)); err != nil {
			return file + " is a damaged program"
		}
		if binary.LittleEndian.Uint32(ph[:]) != elfInterp || more == 0 {
			continue
		}
		name := make([]byte, min(binary.LittleEndian.Uint64(ph[32:]), unix.PathMax))
		n, _ := f.ReadAt(name, int64(binary.LittleEndian.Uint64(ph[8:])))
		name, _, whole := bytes.Cut(name[:n], []byte{0})
		if !whole {
			return file + " is a damaged program: it is cut short"
		}
		return interpreter(sp, file, string(name), 0)
	}
	return ""
}
