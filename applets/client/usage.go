package client

import (
	"fmt"

	"zinit/supervisor"
)

func (s *session) statsVerb() *command {
	return &command{
		name: "stats", usage: "show memory and processor use, all processes of a service together", args: "[NAME]",
		about: example("  zinit stats\n  zinit stats web --json") +
			"\n\nMemory is what is resident; what processes share counts for each of them. CPU is that of one\nprocessor since the last such question or, for the first one, since the main process began.",
		run: s.stats,
	}
}

func (s *session) stats(c *call) error {
	var list []supervisor.Stats
	if len(c.names) == 0 {
		if done, err := s.ask(c.ctx, "service.stats_all", nil, &list); err != nil || done {
			return err
		}
		s.table(list)
		return nil
	}
	name, err := c.one()
	if err != nil {
		return err
	}
	var one supervisor.Stats
	done, err := s.ask(c.ctx, "service.stats", map[string]string{"name": name}, &one)
	if err == nil && !done {
		s.table([]supervisor.Stats{one})
	}
	return s.suggest(c.ctx, err, name)
}

// table prints what services use, aligned, those without a process with a dash.
func (s *session) table(list []supervisor.Stats) {
	if len(list) == 0 {
		fmt.Fprintln(s.std.Out, "No services configured")
		return
	}
	wide := 4
	for _, st := range list {
		wide = max(wide, len([]rune(line(st.Name))))
	}
	fmt.Fprintf(s.std.Out, "%-*s %8s %11s %7s %10s %9s\n", wide, "NAME", "PID", "MEMORY", "CPU", "CPU TIME", "PROCESSES")
	for _, st := range list {
		pid := "-" // none, or only what it has left
		if st.PID != 0 {
			pid = fmt.Sprint(st.PID)
		}
		if st.Processes == 0 {
			fmt.Fprintf(s.std.Out, "%-*s %8s\n", wide, line(st.Name), pid)
			continue
		}
		fmt.Fprintf(s.std.Out, "%-*s %8s %11s %6.1f%% %10s %9d\n", wide, line(st.Name), pid, bytesText(st.MemoryBytes), st.CPUPercent, cpuText(st.CPUMS), st.Processes)
	}
}

// bytesText renders a number of bytes for people.
func bytesText(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// cpuText renders a time that a processor has worked.
func cpuText(ms int64) string {
	if ms < 60_000 {
		return fmt.Sprintf("%.2fs", float64(ms)/1000)
	}
	return age(ms)
}

func (s *session) childrenVerb() *command {
	return &command{
		name: "children", alias: "debug-procs", usage: "draw the processes of a service, each below its parent", args: "NAME",
		about: example("  zinit children web\n  zinit children web --json"),
		run: func(c *call) error {
			name, err := c.one()
			if err != nil {
				return err
			}
			if s.json {
				_, err := s.ask(c.ctx, "service.children", map[string]string{"name": name}, nil)
				return s.suggest(c.ctx, err, name)
			}
			return s.suggest(c.ctx, s.output(c, "debug.process_tree", map[string]string{"name": name}), name)
		},
	}
}

func (s *session) debugStateVerb() *command {
	return &command{
		name: "debug-state", usage: "show all that the server knows of every service, for a report",
		about: example("  zinit debug-state > report.txt"),
		run: func(c *call) error {
			if err := c.none(); err != nil {
				return err
			}
			return s.output(c, "debug.state", nil)
		},
	}
}

// output asks for a text and prints it.
func (s *session) output(c *call, method string, params any) error {
	var text struct {
		Output string `json:"output"`
	}
	done, err := s.ask(c.ctx, method, params, &text)
	if err == nil && !done {
		fmt.Fprintln(s.std.Out, safe(text.Output))
	}
	return err
}
