package client

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"zinit/supervisor"
)

func (s *session) listVerb() *command {
	return &command{
		name: "list", alias: "ls", usage: "show every service: state, pid, since when, and why where it is not as wanted",
		about:   example("  zinit list\n  zinit list --failed"),
		options: []option{{"failed", "", false, "only those that failed"}},
		run:     s.listServices,
	}
}

func (s *session) listServices(c *call) error {
	if err := c.none(); err != nil {
		return err
	}
	if !c.is("failed") {
		var list []supervisor.Info
		done, err := s.ask(c.ctx, "service.list_full", nil, &list)
		switch {
		case err != nil || done:
			return err
		case len(list) == 0:
			fmt.Fprintln(s.std.Out, "No services configured")
		}
		s.list(list)
		return nil
	}
	var all []json.RawMessage // as they came, for --json
	if err := s.call(c.ctx, "service.list_full", nil, &all); err != nil {
		return err
	}
	list, raw := []supervisor.Info{}, []json.RawMessage{}
	for _, one := range all {
		var i supervisor.Info
		if json.Unmarshal(one, &i) == nil && i.State.State == "failed" {
			list, raw = append(list, i), append(raw, one)
		}
	}
	switch {
	case s.json:
		return s.printJSON(raw)
	case len(list) == 0:
		fmt.Fprintln(s.std.Out, "None has failed")
	}
	s.list(list)
	return nil
}

func (s *session) statusVerb() *command {
	return &command{
		name: "status", usage: "show the whole, or everything about one service", args: "[NAME]",
		about: example("  zinit status\n  zinit status web\n  zinit status -q web; echo $?") +
			"\n\nExit status: 0 as wanted, 1 failed, 3 no such service, 4 not running.",
		options: []option{{"q", "quiet", false, "only the exit status"}},
		run:     s.showStatus,
	}
}

func (s *session) showStatus(c *call) error {
	if len(c.names) == 0 {
		return s.statusOfAll(c)
	}
	name, err := c.one()
	if err != nil {
		return err
	}
	var f supervisor.Full
	if c.is("q") {
		err = s.call(c.ctx, "service.status_full", map[string]string{"name": name}, &f)
	} else if done, e := s.ask(c.ctx, "service.status_full", map[string]any{"name": name, "usage": true}, &f); e != nil || done {
		err = e
	} else {
		s.full(f)
	}
	if err != nil {
		return s.suggest(c.ctx, err, name)
	}
	return verdictOf(f.Info)
}

// verdictOf is the exit status for one service.
func verdictOf(i supervisor.Info) error {
	switch {
	case i.State.State == "failed":
		return &failure{status: exitFault}
	case i.State.State == "running", i.State.State == "exited" && i.Wanted && i.Reason == "":
		return nil
	}
	return &failure{status: exitNotRunning}
}

// statusOfAll counts states and shows what is not as wanted.
func (s *session) statusOfAll(c *call) error {
	var list []supervisor.Info
	var done bool
	var err error
	if c.is("q") {
		err = s.call(c.ctx, "service.list_full", nil, &list)
		done = true
	} else {
		done, err = s.ask(c.ctx, "service.list_full", nil, &list)
	}
	if err != nil {
		return err
	}
	counts := map[string]int{}
	var odd []supervisor.Info
	failed := false
	for _, i := range list {
		counts[i.State.State]++
		failed = failed || i.State.State == "failed"
		if i.Reason != "" {
			odd = append(odd, i)
		}
	}
	if !done {
		var parts []string
		for _, st := range []string{"running", "exited", "starting", "blocked", "stopping", "inactive", "failed"} {
			if counts[st] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", counts[st], st))
			}
		}
		fmt.Fprintf(s.std.Out, "Services: %d (%s)\n", len(list), strings.Join(parts, ", "))
		s.list(odd)
	}
	if failed {
		return &failure{status: exitFault}
	}
	return nil
}

// full prints everything about one service; the first lines are those of 0.3.
func (s *session) full(f supervisor.Full) {
	row := func(label, format string, args ...any) {
		fmt.Fprintf(s.std.Out, "%-13s%s\n", label+":", line(fmt.Sprintf(format, args...)))
	}
	row("Service", "%s", f.Name)
	fmt.Fprintf(s.std.Out, "%-13s%s %s\n", "State:", s.symbol(f.State.State), f.State.State)
	if f.State.PID != 0 {
		row("PID", "%d", f.State.PID)
	}
	if f.LastExit != nil && f.LastExit.Code != nil {
		row("Exit", "%d", *f.LastExit.Code)
	}
	if f.Reason != "" {
		label := "Reason"
		if f.State.State == "failed" || f.State.State == "blocked" {
			label = "Error"
		}
		row(label, "%s", f.Reason)
	}
	if f.SinceMS != 0 {
		row("Since", "%s ago, because of: %s", age(f.AgeMS), f.Cause)
	}
	wanted := "down"
	if f.Wanted {
		wanted = "up"
	}
	row("Wanted", "%s", wanted)
	s.fullRest(f, row)
}

func (s *session) fullRest(f supervisor.Full, row func(label, format string, args ...any)) {
	if f.Description != "" {
		row("About", "%s", f.Description)
	}
	if f.Run > 0 {
		row("Runs", "%d, restarts in a row %d of %d", f.Run, f.Attempts, f.MaxRestarts)
	}
	if h := f.Health; h != nil {
		text := fmt.Sprintf("%s, %s %s", h.State, h.Type, h.Target)
		if h.Last != "" {
			text += "; last answer: " + h.Last
		}
		row("Health", "%s", text)
	}
	if f.StatusText != "" {
		row("Says", "%s", f.StatusText)
	}
	if f.LastExit != nil {
		row("Last exit", "%s (run %d, pid %d)", f.LastExit.Text, f.LastExit.Run, f.LastExit.PID)
	}
	if len(f.Command) > 0 {
		row("Command", "%s", strings.Join(f.Command, " "))
	}
	if len(f.Ports) > 0 {
		row("Ports", "%s", strings.Trim(fmt.Sprint(f.Ports), "[]"))
	}
	if len(f.Limits) > 0 {
		row("Limits", "%s", strings.TrimPrefix(fmt.Sprint(f.Limits), "map"))
	}
	if len(f.Resources) > 0 {
		var all []string
		for _, key := range slices.Sorted(maps.Keys(f.Resources)) {
			all = append(all, key+" "+f.Resources[key])
		}
		row("Resources", "%s", strings.Join(all, ", "))
	}
	if u := f.Usage; u != nil {
		row("Uses", "%s, cpu %.1f%% (%s), processes: %d", bytesText(u.MemoryBytes), u.CPUPercent, cpuText(u.CPUMS), u.Processes)
	}
	if f.Contained != "" {
		row("Held by", "%s", f.Contained)
	}
	row("File", "%s", f.File)
	for _, d := range f.Dependencies {
		row("  "+d.DepType, "%s (%s)", d.Name, d.State)
	}
	for _, d := range f.Dependents {
		row("  needed by", "%s (%s, %s)", d.Name, d.DepType, d.State)
	}
	if f.Changed {
		row("Changed", "on disk; applies at its next start")
	}
	for _, w := range f.Warnings {
		row("Warning", "%s", w)
	}
	row("Log", "%d bytes kept, %d dropped", f.LogBytes, f.LogDropped)
	for _, l := range f.Log {
		s.logLine(l, false, false)
	}
}
