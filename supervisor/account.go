package supervisor

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
)

// account is who a service runs as. The zero value is zinit's own user.
type account struct {
	cred              *keeper.Cred
	name, home, shell string
}

// environ is what a login would set.
func (a account) environ() []string {
	if a.name == "" {
		return nil
	}
	return []string{"HOME=" + a.home, "USER=" + a.name, "LOGNAME=" + a.name, "SHELL=" + a.shell}
}

// lookUp finds the ids of sp's user and groups in /etc/passwd and /etc/group.
// Numbers need no file. No group is inherited from zinit.
func lookUp(sp *spec.Spec) (account, error) {
	if sp.User == "" && sp.Group == "" && len(sp.Groups) == 0 {
		return account{}, nil
	}
	a := account{cred: &keeper.Cred{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}
	if sp.User != "" {
		if err := a.user(sp.User); err != nil {
			return account{}, err
		}
	}
	if sp.Group != "" {
		gid, err := groupID(sp.Group)
		if err != nil {
			return account{}, err
		}
		a.cred.GID = gid
	}
	for _, g := range sp.Groups {
		gid, err := groupID(g)
		if err != nil {
			return account{}, err
		}
		if !slices.Contains(a.cred.Groups, gid) {
			a.cred.Groups = append(a.cred.Groups, gid)
		}
	}
	return a, nil
}

// user fills in the user, its own group, and the groups that list it.
func (a *account) user(name string) error {
	uid, numeric := id(name)
	fields := lineOf("/etc/passwd", 7, func(f []string) bool {
		return f[0] == name || numeric && f[2] == strconv.FormatUint(uint64(uid), 10)
	})
	if fields == nil {
		if !numeric {
			return fmt.Errorf("cannot find user %q in /etc/passwd", name)
		}
		a.cred.UID, a.cred.GID = uid, uid
		return nil
	}
	u, ok1 := id(fields[2])
	g, ok2 := id(fields[3])
	if !ok1 || !ok2 {
		return fmt.Errorf("cannot use user %q: bad ids in /etc/passwd", name)
	}
	a.cred.UID, a.cred.GID = u, g
	a.name, a.home, a.shell = fields[0], fields[5], fields[6]
	lineOf("/etc/group", 4, func(f []string) bool {
		if n, ok := id(f[2]); ok && slices.Contains(strings.Split(f[3], ","), a.name) {
			a.cred.Groups = append(a.cred.Groups, n)
		}
		return false
	})
	return nil
}

func groupID(name string) (uint32, error) {
	if n, ok := id(name); ok {
		return n, nil
	}
	f := lineOf("/etc/group", 4, func(f []string) bool { return f[0] == name })
	if f == nil {
		return 0, fmt.Errorf("cannot find group %q in /etc/group", name)
	}
	n, ok := id(f[2])
	if !ok {
		return 0, fmt.Errorf("cannot use group %q: bad id in /etc/group", name)
	}
	return n, nil
}

// id reads a user or group number: decimal digits only, and not the number
// that means "no change" to the kernel.
func id(text string) (uint32, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// lineOf returns the fields of the first line of a colon-separated file that
// match accepts, nil when there is none or no file.
func lineOf(path string, fields int, match func([]string) bool) []string {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(src)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) >= fields && match(f) {
			return f
		}
	}
	return nil
}
