package supervisor

import (
	"strconv"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
)

// oomKillsName is under which the keeper holds a number: how many processes of
// the server's cgroup had been killed for want of memory when a server last began.
const oomKillsName = "oom-kills"

// makeRoom drops most of what services have printed when the server before this
// one was killed for want of memory. All of it is charged to the cgroup that the
// server is in, and the next to be killed there would be this one: so it comes
// before anything that takes memory, and before anybody knows how much each
// service may keep. In a cgroup that services are in too the number may have risen
// for one of them; then it takes a SIGKILL from somebody to be wrong, and
// without a number nothing is dropped.
func (s *Supervisor) makeRoom(w *keeper.Welcome) {
	now, before := int64(-1), int64(-1)
	if s.opt.OOMKills != nil {
		now = s.opt.OOMKills()
	}
	for _, fd := range w.Held[oomKillsName] {
		text, _ := readMemfd(fd)
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			before = n
		}
		unix.Close(fd)
	}
	if now < 0 || now == before {
		return
	}
	if w.Killed && before >= 0 && now > before {
		s.say(LevelWarn, "the server was killed for want of memory; %d bytes of logs were dropped so that it does not happen again", s.logs.Quarter())
	}
	fd, err := writeMemfd(oomKillsName, strconv.AppendInt(nil, now, 10))
	if err != nil {
		s.say(LevelWarn, "cannot keep the number of processes killed for want of memory: %v", err)
		return
	}
	s.mu.Lock()
	s.holding[oomKillsName] = fd
	s.keeper.Hold(oomKillsName, fd)
	s.mu.Unlock()
}
