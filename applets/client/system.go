package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"zinit/applets"
	"zinit/rpc"
	"zinit/supervisor"
)

func (s *session) pingVerb() *command {
	return &command{
		name: "ping", usage: "ask whether a server answers",
		about: example("  zinit ping && echo up"),
		run: func(c *call) error {
			if err := c.none(); err != nil {
				return err
			}
			var v supervisor.Version
			done, err := s.ask(c.ctx, "system.ping", nil, &v)
			if err == nil && !done {
				fmt.Fprintf(s.std.Out, "zinit daemon v%s is running\n", line(v.Version))
			}
			return err
		},
	}
}

func (s *session) versionVerb() *command {
	return &command{
		name: "version", usage: "show the versions of this client and of the server that answers",
		about: example("  zinit version --json"),
		run:   s.version,
	}
}

func (s *session) version(c *call) error {
	if err := c.none(); err != nil {
		return err
	}
	var v struct {
		Client string `json:"client"`
		supervisor.Version
	}
	err := s.call(c.ctx, "system.version", nil, &v)
	v.Client = applets.Version
	switch {
	case s.json && err == nil:
		return s.printJSON(v)
	case s.json:
		return s.printJSON(map[string]string{"client": v.Client})
	}
	fmt.Fprintf(s.std.Out, "client  %s\n", v.Client)
	if err != nil {
		fmt.Fprintln(s.std.Out, "server  none answers; zinit ping says where it was looked for")
		return nil
	}
	fmt.Fprintf(s.std.Out, "server  %s, pid %d, generation %d, %s mode\n", line(v.Version.Version), v.PID, v.Generation, line(v.Mode))
	fmt.Fprintf(s.std.Out, "keeper  pid %d\n", v.KeeperPID)
	return nil
}

// printJSON prints one value on one line.
func (s *session) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(s.std.Out, "%s\n", b)
	}
	return err
}

// endVerb is shutdown and its kin. Scripts and the kernel call them with flags
// of other inits, so their command lines are read here.
func (s *session) endVerb(name, usage string) *command {
	return &command{
		name: name, usage: usage, raw: true,
		about: example("  zinit "+name+"\n  zinit "+name+" --no-wait") +
			"\n\nThe flags of other inits are understood: -h -P -H -r -p now; -f -n -d -w -i change nothing.",
		run: func(c *call) error {
			how, wait, err := endOf(name, c.names)
			if err != nil {
				return err
			}
			return s.end(c.ctx, how, wait)
		},
	}
}

// endOf reads the command line of shutdown(8), halt(8) and their kin. What it
// says is one of the four ends.
func endOf(name string, args []string) (how string, wait bool, err error) {
	how, wait = name, true
	words := 0
	for _, a := range args {
		switch a {
		case "--no-wait":
			wait = false
		case "-h", "-P", "-p", "--poweroff":
			how = "poweroff"
		case "-H", "--halt":
			how = "halt"
		case "-r", "--reboot":
			how = "reboot"
		case "-c":
			return "", false, fail(exitUsage, "", "nothing to cancel: zinit ends at once, never later")
		case "now", "+0", "-f", "--force", "-n", "--no-sync", "-d", "--no-wtmp", "-w", "--wtmp-only", "-i", "-q", "--no-wall", "--":
		default:
			if strings.HasPrefix(a, "-") {
				return "", false, fail(exitUsage, "see: zinit "+name+" --help", "%s: unknown flag %q", name, a)
			}
			if words++; words == 1 && (a[:1] == "+" || strings.Contains(a, ":")) {
				return "", false, fail(exitUsage, "leave the time out, or say now", "%s: cannot wait until %q", name, a)
			}
		}
	}
	return how, wait, nil
}

// end asks for the end and tells who is waited for until nobody answers any
// more.
func (s *session) end(ctx context.Context, how string, wait bool) error {
	if done, err := s.ask(ctx, "system."+how, nil, nil); err != nil {
		return err
	} else if !wait {
		if !done {
			fmt.Fprintf(s.std.Out, "Asked for: %s\n", how)
		}
		return nil
	}
	begin, said := time.Now(), ""
	for {
		list, err := s.left(ctx)
		switch {
		case ctx.Err() != nil:
			return fail(exitTimedOut, "", "interrupted; the %s goes on", how)
		case err != nil:
			if !s.json {
				fmt.Fprintf(s.std.Out, "Done: everything is stopped (%s)\n", age(time.Since(begin).Milliseconds()))
			}
			return nil
		}
		text := strings.Join(list, "; ")
		if text != said && text != "" && !s.json && time.Since(begin) > time.Second {
			fmt.Fprintf(s.std.Out, "%s waiting for %s\n", clock(time.Now().UnixMilli()), line(text))
		}
		said = text
		time.Sleep(betweenTries)
	}
}

// left names the services that are not gone yet, each with what is waited for;
// it fails when nobody answers.
func (s *session) left(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var list []supervisor.Info
	if err := c.Call(ctx, "service.list_full", nil, &list); err != nil {
		if errors.Is(err, rpc.ErrGone) {
			return nil, nil // replaced, or ended: the next call tells
		}
		return nil, err
	}
	var out []string
	for _, i := range list {
		if i.State.PID != 0 {
			reason, _, _ := strings.Cut(i.Reason, ", ")
			out = append(out, fmt.Sprintf("%s (pid %d, %s)", i.Name, i.State.PID, reason))
		}
	}
	return out, nil
}
