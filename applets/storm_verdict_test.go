package applets_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// Rows of the table that only some storms can fill.
const (
	notShown    = "lines that a follower did not show"
	notUpgraded = "upgrades that did not come"
)

// verdict compares what happened with what must not, and then with what zinit
// says. Everything has been stopped.
func (s *storm) verdict() {
	by := map[string][]record{}
	for _, r := range s.records() {
		by[r.name] = append(by[r.name], r)
	}
	starts, ends := 0, 0
	for _, r := range s.cast {
		n, m := s.lives(r, by[r.name])
		starts, ends = starts+n, ends+m
	}
	s.compareEvents(by)
	var total counts
	for _, r := range s.cast {
		total.add(s.lines(r.name))
	}
	s.tellRow("services", len(s.cast))
	s.tellRow("lines written", total.written)
	s.tellRow("bytes written", total.bytes)
	s.tellRow("starts", starts)
	s.tellRow("ends by themselves", ends)
	s.tellRow("events", len(s.events))
	for _, what := range []string{
		"lines missing", "lines repeated or out of order", "lines strange or damaged", "bytes dropped",
		"double starts", "two processes of one service", "two servers at once", "starts too many or too few",
		"wrong exit codes", "lost attempts", "events missing or repeated", "wrong reports",
		"connections refused", "calls that failed", "damaged records", notShown, notUpgraded,
	} {
		s.must0(what)
	}
}

// lives judges the records of one service: START and EXIT take turns, it was
// started as often as it was told to or had ended, and it has not ended
// otherwise than it does.
func (s *storm) lives(r role, records []record) (starts, ends int) {
	runs, late := false, 0
	for i, rec := range records {
		switch rec.kind {
		case "START":
			if starts++; runs {
				s.fault("double starts", "%s: pid %d at %v, the one before has not ended", r.name, rec.proc.pid, rec.at)
			}
			runs = true
		case "TWICE":
			s.fault("double starts", "%s: run %s", r.name, rec.detail)
		case "EXIT":
			runs = false
			switch {
			case rec.detail == r.own:
				if ends++; r.most == 0 && i == len(records)-1 {
					late++ // the last stop may have come before zinit heard of it
				}
			case rec.detail != "0":
				s.fault("wrong exit codes", "%s ended with %s by itself", r.name, rec.detail)
			}
		}
	}
	if runs {
		s.fault("two processes of one service", "%s runs after its stop", r.name)
	}
	f := s.full(r.name)
	// The last stop may come between the exec and the first record.
	if f.Run != uint64(starts) && (r.own == "" || r.most > 0 || f.Run != uint64(starts)+1) {
		s.fault("wrong reports", "%s: zinit counts %d runs, there were %d", r.name, f.Run, starts)
	}
	switch {
	case r.act != "":
		n, _ := s.acts.LoadOrStore(r.name, &atomic.Int64{})
		if want := int(n.(*atomic.Int64).Load()) + 1; starts != want {
			s.fault("starts too many or too few", "%s: %d starts, want %d", r.name, starts, want)
		}
	case r.most > 0:
		if starts != r.most+1 {
			s.fault("starts too many or too few", "%s: %d starts, want %d", r.name, starts, r.most+1)
		}
	default: // after each end a start, but after the last, when it was stopped
		if starts != ends && starts != ends+1 {
			s.fault("starts too many or too few", "%s: %d starts and %d ends by itself", r.name, starts, ends)
		}
	}
	want := ends
	if r.most > 0 {
		want = min(want, r.most)
	}
	if f.Attempts > want || f.Attempts < want-late {
		s.fault("lost attempts", "%s: ended %d times by itself (%d at the very end), zinit counts %d restarts", r.name, ends, late, f.Attempts)
	}
	return starts, ends
}

var ending = regexp.MustCompile(`^(exit|signal) ([A-Z0-9+]+)`)

// compareEvents holds what zinit told of each run against the witness.
func (s *storm) compareEvents(by map[string][]record) {
	type life struct {
		pid  int
		end  string
		told bool // to stop
	}
	said := map[string]map[uint64]*life{}
	for _, tr := range s.events {
		runs := said[tr.Name]
		if runs == nil {
			runs = map[uint64]*life{}
			said[tr.Name] = runs
		}
		l := runs[tr.Run]
		if l == nil {
			l = &life{}
			runs[tr.Run] = l
		}
		switch m := ending.FindStringSubmatch(tr.Reason); {
		case tr.To == "running":
			l.pid = tr.PID
		case tr.To == "stopping":
			l.told = true
		case tr.To == "failed" && m == nil:
			l.end = tr.Reason
		case tr.To == "failed" && m[1] == "exit":
			l.end = m[2]
		case tr.To == "failed":
			l.end = "signal:" + m[2]
		}
	}
	for _, r := range s.cast {
		run := uint64(0)
		for i, rec := range by[r.name] {
			if rec.kind == "START" {
				run++
			}
			last := i == len(by[r.name])-1
			l := said[r.name][run]
			switch {
			case l == nil:
				s.fault("wrong reports", "%s: no event of run %d", r.name, run)
			case rec.kind == "START" && l.pid != rec.proc.pid && (l.pid != 0 || !l.told): // it may be told to stop before it runs
				s.fault("wrong reports", "%s: run %d is pid %d, zinit said %d", r.name, run, rec.proc.pid, l.pid)
			case rec.kind == "EXIT" && rec.detail == r.own && l.end != r.own && !(last && l.told):
				s.fault("wrong exit codes", "%s: run %d ended with %s, zinit said %q", r.name, run, rec.detail, l.end)
			case rec.kind == "EXIT" && rec.detail == "0" && l.end != "":
				s.fault("wrong exit codes", "%s: run %d was stopped, zinit said %q", r.name, run, l.end)
			}
		}
	}
}

// counts are sums over lines.
type counts struct{ written, bytes int64 }

func (c *counts) add(o counts) { c.written, c.bytes = c.written+o.written, c.bytes+o.bytes }

// written is one run's own tally of one stream.
type written struct{ begun, done uint64 }

// tallies reads what each run of a service has written.
func (s *storm) tallies(name string) map[string]written {
	all := map[string]written{}
	files, _ := filepath.Glob(filepath.Join(s.dir, "tally", name+".*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || len(b) != 32 {
			continue // it died while it made the file: it printed nothing
		}
		run := strings.TrimPrefix(filepath.Base(f), name+".")
		for i, stream := range []string{"out", "err"} {
			all[run+" "+stream] = written{binary.LittleEndian.Uint64(b[16*i:]), binary.LittleEndian.Uint64(b[16*i+8:])}
		}
	}
	return all
}

// lines reads the log of one service from its beginning, by cursor, and
// compares it with the tallies of its runs.
func (s *storm) lines(name string) (sum counts) {
	want, got := s.tallies(name), map[string]uint64{}
	cursor := s.logEnd(name)
	done := make(chan struct{})
	seen := uint64(0)
	for seen < cursor {
		before := seen
		s.follow("logs.follow", named{"names": []string{name}, "lines": 0, "cursors": map[string]uint64{name: seen}}, done, func(raw json.RawMessage) bool {
			var note struct {
				Lines []logLine `json:"lines"`
			}
			if err := json.Unmarshal(raw, &note); err != nil {
				s.fault("lines strange or damaged", "%s: %v", name, err)
				return false
			}
			for _, l := range note.Lines {
				sum.bytes += int64(len(l.Content)) + 1
				s.line(name, l, got)
				seen = l.Seq
			}
			return seen < cursor
		})
		if seen == before {
			s.fault("lines missing", "%s: the log ends at %d, want %d", name, seen, cursor)
			break
		}
	}
	for key, w := range want {
		sum.written += int64(got[key])
		if n := got[key]; n < w.done {
			s.fault("lines missing", "%s %s: %d were written, the log has %d", name, key, w.done, n)
		} else if n > w.begun {
			s.fault("lines repeated or out of order", "%s %s: %d were begun, the log has %d", name, key, w.begun, n)
		}
		delete(got, key)
	}
	for key, n := range got {
		s.fault("lines strange or damaged", "%s %s: %d lines of a run that kept no tally", name, key, n)
	}
	return sum
}

// logEnd is the cursor after the last line of a service.
func (s *storm) logEnd(name string) uint64 {
	var tail []logLine
	s.mustCall("logs.tail", named{"name": name, "lines": 1}, &tail)
	if len(tail) == 0 {
		return 0
	}
	return tail[0].Seq
}

// line judges one line: its number follows that of the line before it in its
// run and stream, and it is attributed to both.
func (s *storm) line(name string, l logLine, got map[string]uint64) {
	if l.Dropped != 0 {
		s.fault("bytes dropped", "%s: %d before %q", name, l.Dropped, l.Content)
	}
	f := strings.Fields(l.Content)
	if len(f) != 4 || f[0] != name || l.Service != name || l.Partial {
		s.fault("lines strange or damaged", "%s: %+v", name, l)
		return
	}
	n, err := strconv.ParseUint(f[3], 10, 64)
	if err != nil || f[1] != strconv.FormatUint(l.Run, 10) || "std"+f[2] != l.Stream {
		s.fault("lines strange or damaged", "%s: run %d, %s: %q", name, l.Run, l.Stream, l.Content)
		return
	}
	key := f[1] + " " + f[2]
	switch last := got[key]; {
	case n <= last:
		s.fault("lines repeated or out of order", "%s: %d after %d", key, n, last)
	case n > last+1:
		s.fault("lines missing", "%s %s: %d after %d", name, key, n, last)
	}
	got[key] = max(n, got[key])
}
