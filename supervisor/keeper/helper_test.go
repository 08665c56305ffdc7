package keeper

import (
	"slices"
	"strings"
	"testing"
)

func TestTagsOfHelpersNameTheirService(t *testing.T) {
	for _, c := range []struct{ kind, service, tag string }{{"", "web", "web"}, {"pre", "web@1:2", "pre/web@1:2"}} {
		tag := c.tag
		if c.kind != "" {
			tag = HelperTag(c.kind, c.service)
		}
		kind, service := ParseTag(tag)
		if tag != c.tag || kind != c.kind || service != c.service {
			t.Errorf("%q is %q of %q", tag, kind, service)
		}
		for end := range ends {
			got, run, name, ok := ParsePipe(pipeName(runKey{tag, 7}, end))
			if got != tag || run != 7 || name != ends[end] || !ok {
				t.Errorf("the pipe of %q is %q %d %q, %v", tag, got, run, name, ok)
			}
		}
	}
	for _, name := range []string{"", "pipe", "pipe/", "pipe/a", "pipe/a/out", "pipe//1/out", "pipe/a/x/out", "log/a/1/out"} {
		if tag, run, end, ok := ParsePipe(name); ok {
			t.Errorf("%q is the pipe %q %d %q", name, tag, run, end)
		}
	}
}

// A helper runs beside its service, with a number of its own, and a successor
// learns of both.
func TestHelperRunsBesideItsService(t *testing.T) {
	s := newWorld(t).server()
	sp := run(1, "read x </dev/zero")
	s.alive(sp)
	hook := run(1, "echo from the hook; exit 3")
	hook.Tag = HelperTag("reload", "t")
	ev := s.alive(hook)
	if !slices.ContainsFunc(ev.FDs, func(f NamedFD) bool { return f.Name == "pipe/reload/t/1/out" }) {
		t.Errorf("its pipes are %+v", ev.FDs)
	}
	if x := s.next(Exited); x.Tag != "reload/t" || x.Status.ExitStatus() != 3 {
		t.Errorf("the exit is %+v", x)
	}
	s.next(Gone)
	s = s.kill()
	if c := child(t, s.welcome, "reload/t", 1); c.Phase != Gone {
		t.Errorf("the successor is told %+v", c)
	}
	if c := child(t, s.welcome, "t", 1); c.Phase != Execed {
		t.Errorf("the successor is told %+v", c)
	}
	for name := range s.welcome.Held {
		tag, _, _, ok := ParsePipe(name)
		if ok != strings.HasPrefix(name, "pipe/") || ok && tag != "t" && tag != "reload/t" {
			t.Errorf("%q is held", name)
		}
	}
	s.end(0)
}
