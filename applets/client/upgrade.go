package client

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"zinit/supervisor"
)

func (s *session) upgradeVerb() *command {
	return &command{
		name: "upgrade", usage: "replace the running server by another binary; services feel nothing", args: "[FILE]",
		about: example("  zinit upgrade\n  zinit upgrade ./zinit-new") +
			"\n\nWithout FILE it is this binary. When the new server does not come up within 10 s, or dies\nsoon after, the old one comes back by itself.",
		run: s.upgrade,
	}
}

func (s *session) upgrade(c *call) error {
	path, err := os.Executable()
	if len(c.names) > 0 {
		if path, err = c.one(); err == nil {
			path, err = filepath.Abs(path)
		}
	}
	if err != nil {
		return err
	}
	var before, after supervisor.Version
	if err := s.call(c.ctx, "system.version", nil, &before); err != nil {
		return err
	}
	if err := s.call(c.ctx, "system.upgrade", map[string]string{"path": path}, nil); err != nil {
		return err
	}
	for deadline := time.Now().Add(comeBack); ; {
		after = supervisor.Version{}
		if err := s.call(c.ctx, "system.version", nil, &after); err != nil {
			return err
		}
		if over := after.Generation > before.Generation || after.UpgradeFailed != ""; over && after.Upgrading == "" {
			break
		}
		if time.Now().After(deadline) {
			return fail(exitFault, "zinit logs zinit says more", "the server was not replaced within %s", comeBack)
		}
		time.Sleep(betweenTries)
	}
	if after.UpgradeFailed != "" {
		return fail(exitFault, "the server before it runs again, and services felt nothing", "the upgrade was given up: %s", line(after.UpgradeFailed))
	}
	if s.json {
		return s.printJSON(after)
	}
	fmt.Fprintf(s.std.Out, "Upgraded: %s (pid %d) -> %s (pid %d)\n", line(before.Version), before.PID, line(after.Version), after.PID)
	return nil
}
