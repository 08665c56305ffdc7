package applets_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// record is one line of the witness file.
type record struct {
	kind, name string
	proc       proc
	at         time.Duration // since boot
	detail     string
	line       int
}

func (r record) String() string {
	return strings.TrimSpace(r.kind + " " + r.name + " " + r.detail)
}

// records reads the witness file. A record stands in the file in the order
// in which things happened: each is one append.
func (b *bed) records() []record {
	text, err := os.ReadFile(b.wit)
	if err != nil {
		return nil
	}
	all, err := parseRecords(string(text))
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	return all
}

func parseRecords(text string) ([]record, error) {
	var all []record
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		f := strings.Fields(line)
		if len(f) < 5 {
			return nil, fmt.Errorf("not a record: %q", line)
		}
		pid, err1 := strconv.Atoi(f[2])
		ns, err2 := strconv.ParseInt(f[4], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("not a record: %q", line)
		}
		all = append(all, record{
			kind: f[0], name: f[1], proc: proc{pid, f[3]},
			at: time.Duration(ns), detail: strings.Join(f[5:], " "), line: len(all),
		})
	}
	return all, nil
}

// matching are the records whose "KIND NAME DETAIL" the expression matches
// from beginning to end.
func (b *bed) matching(expr string) []record {
	re, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	var found []record
	for _, r := range b.records() {
		if re.MatchString(r.String()) {
			found = append(found, r)
		}
	}
	return found
}

// witnessed waits for n records at least and returns the last of them.
func (b *bed) witnessed(n int, expr string) record {
	var found []record
	b.await(fmt.Sprintf("%d × %q in the witness file", n, expr), func() error {
		if found = b.matching(expr); len(found) < n {
			return fmt.Errorf("there are %d", len(found))
		}
		return nil
	})
	return found[len(found)-1]
}

// never wants no more than n such records for so long.
func (b *bed) never(d time.Duration, n int, expr string) {
	b.throughout(d, "a record too many", func() error {
		if found := b.matching(expr); len(found) > n {
			return fmt.Errorf("%q, and %d were expected at most", found, n)
		}
		return nil
	})
}

// ordered waits for both kinds, and wants the last record of the first before
// the first of the second.
func (b *bed) ordered(first, second string) {
	b.witnessed(1, second)
	b.witnessed(1, first)
	one, two := b.matching(first), b.matching(second)
	if last := one[len(one)-1]; last.line > two[0].line {
		b.t.Fatalf("%q (record %d) came after %q (record %d)", last, last.line, two[0], two[0].line)
	}
}

// gap is the time from the first record of one kind to the next of another.
func (b *bed) gap(first, second string) time.Duration {
	b.witnessed(1, second)
	one, two := b.matching(first), b.matching(second)
	if len(one) > 0 {
		for _, r := range two {
			if r.line > one[0].line {
				return r.at - one[0].at
			}
		}
	}
	b.t.Fatalf("no %q with a %q after it", first, second)
	return 0
}

// running is the process of the last START of a name; it must be alive.
func (b *bed) running(name string) proc {
	r := b.witnessed(1, "START "+regexp.QuoteMeta(name))
	p := b.here(r.proc)
	if !p.alive() {
		b.t.Fatalf("pid %d, the last %s, is gone", r.proc.pid, name)
	}
	return p
}

// ended waits until a process is gone.
func (b *bed) ended(p proc) {
	b.await(fmt.Sprintf("pid %d to end", p.pid), func() error {
		if p.alive() {
			return fmt.Errorf("it lives")
		}
		return nil
	})
}

// kill sends SIGKILL.
func (b *bed) kill(pid int) error {
	if pid <= 1 {
		return fmt.Errorf("cannot kill pid %d", pid)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// crash kills the last process of a name.
func (b *bed) crash(name string) proc {
	p := b.running(name)
	if err := b.kill(p.pid); err != nil {
		b.t.Fatalf("%v", err)
	}
	return p
}
