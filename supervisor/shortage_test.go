package supervisor

import (
	"strings"
	"testing"
	"time"

	"zinit/supervisor/logs"
)

// order is an Output that notes in which order it is used.
type order struct {
	quiet
	calls []string
	said  string
}

func (o *order) Adopt(map[string][]int) error { o.calls = append(o.calls, "adopt"); return nil }
func (o *order) Quarter() int64               { o.calls = append(o.calls, "quarter"); return 4711 }
func (o *order) Configure(string, int64)      { o.calls = append(o.calls, "configure") }
func (o *order) Attach(string, uint64, logs.Stream, int, string) {
	o.calls = append(o.calls, "attach")
}
func (o *order) Write(text []byte) {
	o.calls, o.said = append(o.calls, "write"), o.said+string(text)
}

// A server drops most of what is kept of output when the one before it was killed
// for want of memory, or it would be the next. That takes a SIGKILL and a count of
// the kernel's that has risen since that server began.
func TestASuccessorMakesRoomAfterAShortageOnly(t *testing.T) {
	kills := int64(-1)
	sm := newSimWith(t, files{"web": ""}, func(o *Options) {
		o.LogLevel, o.OOMKills = LevelWarn, func() int64 { return kills }
	})
	defer sm.close()
	sm.run()
	for _, step := range []struct {
		kills  int64
		killed bool
		want   bool
		why    string
	}{
		{3, true, false, "nobody has counted before"},
		{3, true, false, "somebody sent a signal"},
		{4, false, false, "a service was killed, then the server replaced"},
		{4, true, false, "that was counted by the server between the two"},
		{5, true, true, "it was killed"},
		{5, true, false, "that was told"},
		{-1, true, false, "the count cannot be read"},
		{6, true, true, "it was killed, once the count can be read again"},
		{2, true, false, "another group counts now"},
		{4, true, true, "it was killed there"},
	} {
		kills = step.kills
		w := sm.welcome()
		w.Killed = step.killed
		out := &order{}
		sm.s = New(sm.options(), sm, out)
		if err := sm.s.Begin(w); err != nil {
			t.Fatal(err)
		}
		sm.run()
		const line = "warning: the server was killed for want of memory; 4711 bytes of logs were dropped so that it does not happen again\n"
		calls := strings.Join(out.calls, " ")
		if got := strings.Contains(calls, "quarter"); got != step.want || strings.Contains(out.said, line) != step.want {
			t.Errorf("count %d, SIGKILL %v: dropped %v, want %v (%s); it said %q", step.kills, step.killed, got, step.want, step.why, out.said)
		}
		if step.want && !strings.HasPrefix(calls, "adopt quarter write configure") {
			t.Errorf("it took memory before it had room: %s", calls)
		}
		if out.said != "" && out.said != line {
			t.Errorf("it said %q", out.said)
		}
		sm.sleep(time.Second)
	}
}
