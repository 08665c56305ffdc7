package supervisor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
)

// The fields of "specs/N".
const (
	specsFile    = 1 // a service file: file, class, source
	specsBroken  = 2 // name, file, of a service left out
	specsProblem = 3 // file, key, message, hint, line, column, warning
	specsSetting = 4 // max_parallel_starts, shutdown_timeout, total_bytes
	specsRunning = 5 // as a service file, and a run: the definition that this run began with, where it is another
)

// holdSpecs gives the accepted definitions to the keeper; the turn's frame
// will name them, and then the older ones are dropped.
func (t *turn) holdSpecs(c *Config) error {
	fd, err := writeMemfd("specs", t.s.encodeSpecs(c))
	if err != nil {
		return refuse(Unrecorded, "", "nothing was done; try again when there is memory", "cannot keep the definitions: %v", err)
	}
	s := t.s
	old := s.specsHeld
	s.specsHeld++
	t.specs = s.specsHeld
	s.holding[specsName(t.specs)] = fd
	s.keeper.Hold(specsName(t.specs), fd)
	t.act(func() {
		if old > 0 {
			s.keeper.Drop(specsName(old))
		}
	})
	return nil
}

func specsName(n uint64) string { return fmt.Sprintf("specs/%d", n) }

// encodeSpecs writes what is accepted, and by which older definitions others
// still run.
func (s *Supervisor) encodeSpecs(c *Config) []byte {
	var e, one journal.Encoder
	texts := func(list ...string) { // as fields 1, 2, …
		for i, text := range list {
			one.String(uint64(i+1), text)
		}
	}
	file := func(sp *spec.Spec) {
		one.Reset()
		texts(sp.File)
		one.Uint(2, uint64(sp.Class))
		one.Bytes(3, sp.Source)
	}
	for _, name := range c.Names {
		file(c.Specs[name])
		one.Bool(4, c.Runtime[name])
		e.Bytes(specsFile, one.Payload())
	}
	for _, name := range s.names {
		sv := s.services[name]
		if sv.rt.Alive() && (c.Specs[name] == nil || !sv.cur.Same(c.Specs[name])) {
			file(sv.cur)
			one.Uint(5, sv.rt.Run)
			e.Bytes(specsRunning, one.Payload())
		}
	}
	for name, file := range c.loaded.Broken {
		one.Reset()
		texts(name, file)
		e.Bytes(specsBroken, one.Payload())
	}
	for _, p := range c.loaded.Problems {
		one.Reset()
		texts(p.File, p.Key, p.Msg, p.Hint)
		one.Uint(5, uint64(p.Line))
		one.Uint(6, uint64(p.Col))
		one.Bool(7, p.Warning)
		e.Bytes(specsProblem, one.Payload())
	}
	one.Reset()
	one.Uint(1, uint64(c.Settings.MaxParallelStarts))
	one.Int(2, int64(c.Settings.ShutdownTimeout))
	one.Int(3, c.Settings.TotalBytes)
	e.Bytes(specsSetting, one.Payload())
	return e.Payload()
}

// acceptedConfig reads the definitions that the journal names. When it names
// none that are held, because it was damaged, the newest that are held are taken,
// and the number of those is returned; without any the files are read again.
func (s *Supervisor) acceptedConfig(w *keeper.Welcome, n uint64) (*Config, uint64) {
	if len(w.Held[specsName(n)]) != 1 {
		if newest := newestSpecs(w.Held); newest > 0 {
			s.say(LevelError, "the journal names definitions %d, which are lost; taking definitions %d", n, newest)
			n = newest
		}
	}
	if fds := w.Held[specsName(n)]; len(fds) == 1 {
		src, err := readMemfd(fds[0])
		if err == nil {
			unix.Close(fds[0])
			return decodeSpecs(src), n
		}
	}
	s.say(LevelError, "the accepted definitions are lost; reading the service files again")
	return LoadConfig(s.opt.Roots, s.opt.Trust), n
}

// keptRoots are the directories that a server finds, and those that the accepted
// files came from: one that is gone while a server is replaced, as what is not
// mounted is, still is where they belong. Found where none of them came from, a
// root stands only in for those that are gone.
func keptRoots(found []spec.Root, c *Config) []spec.Root {
	var gone []spec.Root
	stays := false
	for _, name := range c.Names {
		r := spec.Root{Dir: filepath.Dir(c.Specs[name].File)}
		if filepath.Base(r.Dir) == "system" {
			r.Class = spec.System
		}
		switch {
		case c.Runtime[name] || slices.Contains(gone, r):
		case slices.Contains(found, r):
			stays = true
		default:
			gone = append(gone, r)
		}
	}
	if len(gone) == 0 {
		return found
	}
	if stays {
		gone = append(gone, found...)
	}
	order := []string{"system", "services", "targets"} // of two files with one name the first stands
	slices.SortStableFunc(gone, func(a, b spec.Root) int {
		return slices.Index(order, filepath.Base(a.Dir)) - slices.Index(order, filepath.Base(b.Dir))
	})
	return gone
}

// newestSpecs is the highest N of the "specs/N" that are held, 0 when there are
// none.
func newestSpecs(held map[string][]int) (newest uint64) {
	for name := range held {
		number, ok := strings.CutPrefix(name, "specs/")
		if n, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// decodeSpecs judges the accepted definitions again.
func decodeSpecs(src []byte) *Config {
	loaded := &spec.Loaded{Broken: map[string]string{}}
	runtime := map[string]bool{}
	begunBy := map[string]begun{}
	var settings spec.Settings
	for d := journal.NewDecoder(src); d.Next(); {
		switch f := journal.NewDecoder(d.Bytes()); d.ID() {
		case specsFile:
			sp, problems, added, _ := decodeFile(f)
			if sp != nil {
				loaded.Specs = append(loaded.Specs, sp)
				runtime[sp.Name] = added
			} else {
				loaded.Problems = append(loaded.Problems, problems...)
			}
		case specsBroken:
			name, file := decodeBroken(f)
			loaded.Broken[name] = file
		case specsProblem:
			loaded.Problems = append(loaded.Problems, decodeProblem(f))
		case specsSetting:
			settings = decodeSettings(f)
		case specsRunning:
			if sp, _, _, run := decodeFile(f); sp != nil {
				begunBy[sp.Name] = begun{sp, run}
			}
		}
	}
	c := judge(loaded)
	c.Runtime, c.Settings, c.begun = runtime, settings, begunBy
	return c
}

func decodeSettings(d *journal.Decoder) (set spec.Settings) {
	for d.Next() {
		switch d.ID() {
		case 1:
			set.MaxParallelStarts = int(d.Uint())
		case 2:
			set.ShutdownTimeout = time.Duration(d.Int())
		case 3:
			set.TotalBytes = d.Int()
		}
	}
	return set
}

// decodeFile judges one service file; added says that it is none, but was
// defined at run time; run is the one that began with it.
func decodeFile(d *journal.Decoder) (sp *spec.Spec, problems []spec.Problem, added bool, run uint64) {
	var file string
	var class uint64
	var source []byte
	for d.Next() {
		switch d.ID() {
		case 1:
			file = d.String()
		case 2:
			class = d.Uint()
		case 3:
			source = d.Bytes()
		case 4:
			added = d.Bool()
		case 5:
			run = d.Uint()
		}
	}
	sp, problems = spec.Parse(file, source, spec.Class(class))
	return sp, problems, added, run
}

func decodeBroken(d *journal.Decoder) (name, file string) {
	for d.Next() {
		switch d.ID() {
		case 1:
			name = d.String()
		case 2:
			file = d.String()
		}
	}
	return name, file
}

func decodeProblem(d *journal.Decoder) (p spec.Problem) {
	texts := [...]*string{1: &p.File, &p.Key, &p.Msg, &p.Hint}
	for d.Next() {
		switch id := d.ID(); id {
		case 1, 2, 3, 4:
			*texts[id] = d.String()
		case 5:
			p.Line = int(d.Uint())
		case 6:
			p.Col = int(d.Uint())
		case 7:
			p.Warning = d.Bool()
		}
	}
	return p
}
