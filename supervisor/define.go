package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zinit/graph"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// runtimeDir stands for the directory of definitions that last until the next
// boot.
const runtimeDir = "(added at run time)"

func runtimeFile(name string) string { return filepath.Join(runtimeDir, name+".toml") }

// DefineOptions say how a definition is taken over.
type DefineOptions struct {
	Persist   bool // into a file: the one it came from, or NAME.toml in the first directory of services
	NoRestart bool // what runs goes on with its old definition until its next start
}

// Defined is the answer to a change of one definition.
type Defined struct {
	Name     string   `json:"name"`
	Path     string   `json:"path"` // "" when it is in no file
	Changed  bool     `json:"changed"`
	Warnings []string `json:"warnings"`
}

// Define takes over a definition written as TOML, new or in place of the one of
// that name: judged first, then written, then in force. What runs and has
// changed is restarted. name is the one it has when the text gives none.
func (s *Supervisor) Define(name string, source []byte, by Cause, o DefineOptions) (Defined, error) {
	by.Text = "set"
	if s.decided(by) {
		return Defined{Name: name, Warnings: []string{}}, nil
	}
	sp, problems := spec.Parse(name+".toml", source, spec.User)
	if sp == nil || spec.Failed(problems) {
		return Defined{}, invalid(name, problems)
	}
	file, class, err := s.placeOf(sp, o.Persist)
	if err != nil {
		return Defined{}, err
	}
	if source, err = named(source, file, sp); err != nil {
		return Defined{}, refuse(Invalid, sp.Name, "give it a name = in the text", "cannot keep %q in %s: %v", sp.Name, file, err)
	}
	if sp, problems = spec.Parse(file, source, class); sp == nil || spec.Failed(problems) {
		return Defined{}, invalid(name, problems)
	}
	d := Defined{Name: sp.Name, Warnings: []string{}}
	for _, p := range problems {
		d.Warnings = append(d.Warnings, p.Error())
	}
	if o.Persist {
		d.Path = file
	}
	if _, err := s.change(by, sp, nil, o, true); err != nil {
		return d, err
	}
	if o.Persist {
		if err := writeFile(file, source); err != nil {
			return d, refuse(Unwritten, sp.Name, "nothing was changed", "%v", err)
		}
	}
	d.Changed, err = s.change(by, sp, nil, o, false)
	return d, err
}

// named gives the text the name of its service, where it relied on that of its
// file and comes into another.
func named(source []byte, file string, sp *spec.Spec) ([]byte, error) {
	table := "service"
	if sp.Target {
		table = "target"
	}
	if strings.TrimSuffix(filepath.Base(file), ".toml") == sp.Name || sp.Named {
		return source, nil
	}
	return spec.Edit(source, table+".name", fmt.Sprintf("%q", sp.Name))
}

// invalid is the refusal of a definition that does not load.
func invalid(name string, problems []spec.Problem) *Error {
	var texts []string
	for _, p := range problems {
		if !p.Warning {
			texts = append(texts, p.Error())
		}
	}
	return refuse(Malformed, name, "nothing was changed", "Validation failed: %s", strings.Join(texts, "\n"))
}

// placeOf decides the file and class of a definition.
func (s *Supervisor) placeOf(sp *spec.Spec, persist bool) (file string, class spec.Class, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	class = sp.Class
	if old := s.config.Specs[sp.Name]; old != nil && !s.config.Runtime[sp.Name] {
		class = old.Class
		if persist {
			return old.File, class, nil
		}
	}
	if broken := s.config.loaded.Broken[sp.Name]; broken != "" && persist {
		return broken, class, nil
	}
	if !persist {
		return runtimeFile(sp.Name), class, nil
	}
	for _, r := range s.opt.Roots {
		if base := filepath.Base(r.Dir); base != "system" && base != "targets" {
			return filepath.Join(r.Dir, sp.Name+".toml"), class, nil
		}
	}
	return "", class, refuse(Refused, sp.Name, "leave out --persist, or give zinit a --config-dir", "cannot keep %q in a file: there is no directory of services", sp.Name)
}

// change adds or replaces one definition, and removes others; dry only judges.
// It returns whether anything differs.
func (s *Supervisor) change(by Cause, set *spec.Spec, remove []string, o DefineOptions, dry bool) (changed bool, err error) {
	if dry {
		by.Token = ""
	}
	err = s.decideBy(by, func(t *turn) error {
		if s.ending != nil {
			return refuse(ShuttingDown, "", "", "cannot change a definition: zinit is shutting down")
		}
		p, err := s.planChange(set, remove, o.Persist)
		if err != nil {
			return err
		}
		changed = len(p.added)+len(p.changed)+len(p.removed) > 0
		if dry {
			return errDryRun
		}
		p.restart = !o.NoRestart
		return t.adopt(p)
	})
	if err == errDryRun {
		err = nil
	}
	return changed, err
}

// planChange is a plan of the accepted configuration with one definition set and
// others removed. The lock is held.
func (s *Supervisor) planChange(set *spec.Spec, remove []string, persist bool) (*plan, error) {
	old := s.config
	c := &Config{Specs: maps.Clone(old.Specs), Names: slices.Clone(old.Names), Problems: old.Problems, Broken: maps.Clone(old.Broken),
		Runtime: maps.Clone(old.Runtime), Settings: old.Settings, loaded: &spec.Loaded{Problems: old.loaded.Problems, Broken: maps.Clone(old.loaded.Broken)}}
	p := &plan{config: c, removed: remove}
	for _, name := range remove {
		delete(c.Specs, name)
		delete(c.Runtime, name)
	}
	c.Names = slices.DeleteFunc(c.Names, func(n string) bool { return slices.Contains(remove, n) })
	var nodes []graph.Node
	if set != nil {
		sv := s.services[set.Name]
		switch {
		case sv == nil || sv.removed:
			p.added = []string{set.Name}
		case !sv.spec.Same(set) || old.Runtime[set.Name] == persist:
			p.changed = []string{set.Name}
		}
		if c.Specs[set.Name] == nil {
			i, _ := slices.BinarySearch(c.Names, set.Name)
			c.Names = slices.Insert(c.Names, i, set.Name)
		}
		c.Specs[set.Name] = set
		c.Runtime[set.Name] = !persist
		delete(c.Broken, set.Name)
		delete(c.loaded.Broken, set.Name)
		nodes = []graph.Node{set.Node()}
	}
	g, err := s.graph.With(nodes, remove)
	if err != nil {
		return nil, refuse(Cyclic, "", "nothing was changed", "cannot change the definitions: %v", err)
	}
	p.graph, c.Graph = g, g
	return p, nil
}

// restartChanged restarts what runs on another definition than it now has.
func (t *turn) restartChanged(names []string) {
	var svs []*service
	for _, name := range names {
		if sv := t.s.services[name]; sv.rt.Alive() && sv.rt.Wanted && sv.cur != nil && !sv.cur.Same(sv.spec) {
			svs = append(svs, sv)
		}
	}
	if len(svs) > 0 {
		t.bringDown(t.withUsers(svs), svs)
	}
}

// RemoveOptions say how definitions are removed.
type RemoveOptions struct {
	Cascade bool // and those that require them
	Force   bool // alone, although others require them
}

// Remove stops services by their own rules and forgets them, with the file that
// each came from. also names those that went along.
func (s *Supervisor) Remove(names []string, by Cause, o RemoveOptions) (also []string, err error) {
	by.Text = "remove"
	if s.decided(by) {
		return nil, nil
	}
	all, files, err := s.removal(names, o)
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		if !slices.Contains(names, name) {
			also = append(also, name)
		}
	}
	if _, err := s.change(by, nil, all, DefineOptions{NoRestart: true}, true); err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, refuse(Unwritten, "", "nothing was changed", "cannot remove %s: %v", file, errors.Unwrap(err))
		}
	}
	if _, err := s.change(by, nil, all, DefineOptions{NoRestart: true}, false); err != nil {
		return nil, err
	}
	if o.Force {
		s.decide(by.String(), func(t *turn) error { t.stopAlone(all); return nil })
	}
	return also, nil
}

// removal decides what goes, and which files.
func (s *Supervisor) removal(names []string, o RemoveOptions) (all, files []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if sv := s.services[name]; sv == nil || sv.removed {
			return nil, nil, s.unknown(name)
		}
	}
	all = slices.Clone(names)
	for i := 0; i < len(all); i++ {
		var users []string
		for _, e := range s.graph.In(all[i]) {
			if needs(e.Kind) && s.config.Specs[e.From] != nil && !slices.Contains(all, e.From) {
				users = append(users, e.From)
			}
		}
		switch {
		case len(users) == 0 || o.Force:
		case o.Cascade:
			all = append(all, users...)
		default:
			return nil, nil, refuse(Unsafe, all[i], "--cascade removes those too, --force removes it alone", "cannot remove %q: required by %s", all[i], joinNames(users))
		}
	}
	for _, name := range all {
		if !s.config.Runtime[name] {
			files = append(files, s.config.Specs[name].File)
		}
	}
	return all, files, nil
}

// stopAlone stops removed services without waiting for those that need them.
func (t *turn) stopAlone(names []string) {
	for _, name := range names {
		if sv := t.s.services[name]; sv != nil && sv.rt.Queued {
			t.apply(sv, state.Stop, "")
		}
	}
}

// SetKeys changes keys of a service's definition, each "table.key" with a value
// written as TOML, and nothing else of its text.
func (s *Supervisor) SetKeys(name string, keys map[string]string, by Cause, o DefineOptions) (Defined, error) {
	s.mu.Lock()
	sv := s.services[name]
	if sv == nil {
		defer s.mu.Unlock()
		return Defined{}, s.unknown(name)
	}
	source, file := sv.spec.Source, sv.spec.File
	s.mu.Unlock()
	if o.Persist && filepath.Dir(file) != runtimeDir { // what is on disk now, not what was accepted
		text, err := os.ReadFile(file)
		if err != nil {
			return Defined{}, refuse(Unwritten, name, "nothing was changed", "cannot read %s: %v", file, errors.Unwrap(err))
		}
		source = text
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		edited, err := spec.Edit(source, key, keys[key])
		if err != nil {
			return Defined{}, refuse(Invalid, name, "nothing was changed", "%v", err)
		}
		source = edited
	}
	return s.Define(name, source, by, o)
}

// SetStatus is enable and disable: whether a service starts at boot. What runs
// goes on.
func (s *Supervisor) SetStatus(name string, on bool, by Cause, persist bool) (Defined, error) {
	s.mu.Lock()
	sv := s.services[name]
	target := sv != nil && sv.spec.Target
	s.mu.Unlock()
	if target {
		return Defined{}, refuse(Refused, name, "enable or disable its members", "cannot enable or disable %q: a target has no status", name)
	}
	value := `"stop"`
	if on {
		value = `"start"`
	}
	return s.SetKeys(name, map[string]string{"service.status": value}, by, DefineOptions{Persist: persist, NoRestart: true})
}

// writeFile replaces a file as a whole: a temporary one beside it is written,
// synced and renamed, and the directory is synced. A file that is there keeps its
// mode; a new one is 0600.
func writeFile(path string, content []byte) error {
	mode := os.FileMode(0o600)
	if st, err := os.Stat(path); err == nil {
		mode = st.Mode().Perm()
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real // a link stays one
		}
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(dir, ".zinit-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
	return nil
}

// Source is the text of a definition.
type Source struct {
	Name   string `json:"name"`
	File   string `json:"file"` // "" when it is in none
	Source string `json:"source"`
}

// Source returns the accepted text of a service's definition.
func (s *Supervisor) Source(name string) (Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[name]
	if sv == nil {
		return Source{}, s.unknown(name)
	}
	src := Source{Name: name, Source: string(sv.spec.Source)}
	if !s.config.Runtime[name] {
		src.File = sv.spec.File
	}
	return src, nil
}
