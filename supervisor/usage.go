package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"zinit/supervisor/state"
)

// Stats is what a service uses: all of its processes together.
type Stats struct {
	Name        string  `json:"name"`
	PID         int     `json:"pid"` // of the main process; 0: none
	MemoryBytes int64   `json:"memory_bytes"`
	CPUPercent  float64 `json:"cpu_percent"` // of one processor, since the last question or, for the first one, since the run began
	CPUMS       int64   `json:"cpu_ms"`      // since then; two of them make the use between
	Processes   int     `json:"processes"`
}

// Children is service.children: every process of a service but the main one,
// the youngest first.
type Children struct {
	Children []Process `json:"children"`
}

// procRoot is where processes are read.
const procRoot = "/proc"

// roots lead the sessions that a service has: its main process, the hook that runs,
// and the main process that has ended and left others. 0: none.
type roots [3]int

// rootsOf is what of sv is there to be looked at. The lock is held.
func rootsOf(sv *service) (r roots) {
	r[0] = sv.rt.Pid
	if sv.rt.Hook != state.NoHook {
		r[1] = sv.hookPid
	}
	if sv.rt.Left { // the number is not used again meanwhile
		r[2] = sv.rt.Last.Pid
	}
	return r
}

// mains returns the roots of a service; of all of them when name is "". Reading
// /proc is left to the caller, who holds no lock.
func (s *Supervisor) mains(name string) (names []string, pids []roots, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names = []string{name}
	if name == "" {
		names = slices.Clone(s.names)
	} else if s.services[name] == nil {
		return nil, nil, s.unknown(name)
	}
	for _, n := range names {
		pids = append(pids, rootsOf(s.services[n]))
	}
	return names, pids, nil
}

// Stats tells what a service uses. Without a process that is nothing.
func (s *Supervisor) Stats(name string) (Stats, error) {
	list, err := s.stats(name)
	if err != nil {
		return Stats{}, err
	}
	return list[0], nil
}

// StatsAll tells what every service uses, by name.
func (s *Supervisor) StatsAll() ([]Stats, error) { return s.stats("") }

func (s *Supervisor) stats(name string) ([]Stats, error) {
	names, pids, err := s.mains(name)
	if err != nil {
		return nil, err
	}
	all, err := processes(procRoot)
	if err != nil {
		return nil, err
	}
	list := make([]Stats, len(names))
	now := sinceBoot()
	for i, n := range names {
		st, begun := usage(s.belong(all, n, pids[i]), now)
		st.Name, st.PID = n, pids[i][0]
		main := cmp.Or(pids[i][:]...)
		if s.groups.tree != nil && main != 0 {
			if f, err := s.groups.tree.Facts(n); err == nil {
				st.byGroup(f)
			}
		}
		if main != 0 {
			st.CPUPercent = s.samples.rate(n, sample{main, now, st.CPUMS}, begun)
		}
		list[i] = st
	}
	return list, nil
}

// usage adds up what processes use; the oldest of them began with the run, then.
func usage(members []Process, now int64) (st Stats, begun int64) {
	begun = now
	for _, p := range members {
		st.MemoryBytes += p.MemoryBytes
		st.CPUMS += p.CPUMS
		begun = min(begun, p.start)
	}
	st.Processes = len(members)
	return st, begun
}

// Children lists the processes of a service but the main one.
func (s *Supervisor) Children(name string) (Children, error) {
	c := Children{Children: []Process{}}
	_, pids, err := s.mains(name)
	if err != nil {
		return c, err
	}
	all, err := processes(procRoot)
	if err != nil {
		return c, err
	}
	for _, p := range slices.Backward(s.belong(all, name, pids[0])) {
		if p.PID != pids[0][0] {
			c.Children = append(c.Children, p)
		}
	}
	return c, nil
}

// ProcessTree draws the processes of a service, each below its parent.
func (s *Supervisor) ProcessTree(name string) (string, error) {
	_, pids, err := s.mains(name)
	if err != nil {
		return "", err
	}
	if pids[0] == (roots{}) {
		return name + " is not running", nil
	}
	all, err := processes(procRoot)
	if err != nil {
		return "", err
	}
	return drawProcesses(name, s.belong(all, name, pids[0])), nil
}

// drawProcesses is a line a process. One whose parent is no member stands at
// the top: the main process, and those whose parent has ended.
func drawProcesses(name string, members []Process) string {
	var b strings.Builder
	b.WriteString(name)
	below := map[int][]Process{}
	for _, p := range members {
		parent := p.ParentPID
		if !slices.ContainsFunc(members, func(o Process) bool { return o.PID == parent }) {
			parent = 0
		}
		below[parent] = append(below[parent], p)
	}
	type branch struct {
		p    Process
		lead string
		last bool
	}
	var stack []branch
	push := func(list []Process, lead string) {
		for i, p := range slices.Backward(list) {
			stack = append(stack, branch{p, lead, i == len(list)-1})
		}
	}
	push(below[0], "")
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		twig, lead := "├─ ", top.lead+"│  "
		if top.last {
			twig, lead = "└─ ", top.lead+"   "
		}
		fmt.Fprintf(&b, "\n%s%s%d %s (%s, %s, cpu %s)", top.lead, twig, top.p.PID, top.p.Name, top.p.State, size(top.p.MemoryBytes), span(top.p.CPUMS))
		push(below[top.p.PID], lead)
	}
	return b.String()
}

// size renders bytes for people.
func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// span renders milliseconds for people.
func span(ms int64) string {
	if ms < 60_000 {
		return fmt.Sprintf("%.2fs", float64(ms)/1000)
	}
	return fmt.Sprintf("%dm%ds", ms/60_000, ms/1000%60)
}

// DebugState describes every service with its edges and processes, as text for
// a person who looks for a fault. Its form is not promised.
func (s *Supervisor) DebugState() (string, error) {
	names, pids, err := s.mains("")
	if err != nil {
		return "", err
	}
	all, err := processes(procRoot)
	if err != nil {
		return "", err
	}
	v := s.Version()
	var b strings.Builder
	fmt.Fprintf(&b, "zinit %s, pid %d, keeper pid %d, generation %d, %s mode, services: %d\n", v.Version, v.PID, v.KeeperPID, v.Generation, v.Mode, len(names))
	for i, name := range names {
		f, err := s.full(name)
		if err != nil {
			continue // removed meanwhile
		}
		b.WriteString("\n")
		describe(&b, f)
		if members := s.belong(all, name, pids[i]); len(members) > 0 {
			tree := strings.ReplaceAll(drawProcesses("processes:", members), "\n", "\n    ")
			fmt.Fprintf(&b, "    %s\n", tree)
		}
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// describe writes what is known of one service, a fact a line.
func describe(b *strings.Builder, f Full) {
	fmt.Fprintf(b, "%s %s - %s", state.Parse(f.State.State).Symbol(), f.Name, f.State.State)
	var facts []string
	if f.State.PID != 0 {
		facts = append(facts, fmt.Sprintf("pid=%d", f.State.PID))
	}
	if f.UptimeSecs != nil {
		facts = append(facts, "uptime="+span(*f.UptimeSecs*1000))
	}
	facts = append(facts, fmt.Sprintf("run=%d", f.Run), fmt.Sprintf("wanted=%v", f.Wanted))
	fmt.Fprintf(b, " (%s)\n", strings.Join(facts, ", "))
	line := func(format string, args ...any) { fmt.Fprintf(b, "    "+format+"\n", args...) }
	if f.Reason != "" {
		line("reason: %s", f.Reason)
	}
	line("cause: %s", f.Cause)
	if f.Attempts > 0 {
		line("restarts in a row: %d of %d", f.Attempts, f.MaxRestarts)
	}
	if f.NextStartMS != nil {
		line("next start in: %s", span(*f.NextStartMS))
	}
	if f.LastExit != nil {
		line("last exit: %s (run %d, pid %d)", f.LastExit.Text, f.LastExit.Run, f.LastExit.PID)
	}
	for _, d := range f.Dependencies {
		line("%s %s (%s, satisfied=%v)", d.DepType, d.Name, d.State, d.Satisfied)
	}
	for _, d := range f.Dependents {
		line("%s by %s (%s)", d.DepType, d.Name, d.State)
	}
}
