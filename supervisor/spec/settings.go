package spec

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pelletier/go-toml/v2/unstable"
)

// SettingsFile is the name of the file with zinit's own settings, in a root.
const SettingsFile = "zinit.toml"

// Settings are zinit's own. The zero value is what an absent file means.
type Settings struct {
	MaxParallelStarts int           // 0: no limit
	ShutdownTimeout   time.Duration // 0: the mode's own
	TotalBytes        int64         // of all log stores; 0: the default
}

// LoadSettings reads zinit.toml of the first of the directories that has one,
// with the same distrust as Load. No such file is no problem.
func LoadSettings(dirs []string, trust bool) (Settings, []Problem) {
	g := newGuard(trust)
	for _, path := range dirs {
		dir, err := g.openDir(path)
		if err != nil {
			continue // Load tells of directories
		}
		src, err := g.read(dir, path, SettingsFile)
		unix.Close(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		file := filepath.Join(path, SettingsFile)
		if err != nil {
			return Settings{}, []Problem{{File: file, Msg: err.Error()}}
		}
		settings, problems := ParseSettings(file, src)
		g.warn(&problems)
		return settings, problems
	}
	return Settings{}, nil
}

// ParseSettings reads the text of a zinit.toml. What is wrong keeps its default
// and is among the problems.
func ParseSettings(file string, src []byte) (Settings, []Problem) {
	var s Settings
	r := &reader{file: file, src: src, spec: initial(file, src, User), settings: &s}
	if len(src) > 0 && r.readable() {
		r.read()
	}
	return s, sorted(r.problems)
}

// setting reads one key of zinit.toml.
func (r *reader) setting(path []segment, v value) {
	if foreignKey(path) {
		return
	}
	r.path = dotted(path)
	s := r.settings
	switch r.path {
	case "max_parallel_starts":
		n, _ := r.integer(v, 0, math.MaxInt32)
		s.MaxParallelStarts = int(n)
	case "shutdown_timeout_ms":
		r.millis(v, 1, &s.ShutdownTimeout)
	case "logging.total_bytes":
		s.TotalBytes, _ = r.size(v)
	case "logging":
		if v.kind != unstable.InlineTable {
			r.wrong(v, "a table", `{ total_bytes = "64MiB" }`)
			return
		}
		for _, p := range v.pairs {
			r.setting(append(path[:len(path):len(path)], p.path...), p.value)
		}
	default:
		r.fail(path[len(path)-1].at, "unknown key", settingMeant(path[len(path)-1].name))
	}
}

var settingKeys = []string{"max_parallel_starts", "shutdown_timeout_ms", "total_bytes"}

func settingMeant(key string) string {
	if near := nearest(key, settingKeys); near != "" {
		if near == "total_bytes" {
			near = "[logging] total_bytes"
		}
		return "did you mean " + near + "?"
	}
	return "allowed: max_parallel_starts, shutdown_timeout_ms, [logging] total_bytes"
}
