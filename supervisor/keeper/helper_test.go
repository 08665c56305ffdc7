package keeper

import "testing"

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
