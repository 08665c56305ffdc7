package keeper

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A child that is being spawned shares the keeper's memory until its exec. It
// touches nothing there but its slot: the words it reports with, the list of
// system calls it makes, their arguments, and a stack it never uses. Slots lie
// in one mapping outside the Go heap, which neither moves nor is collected. A
// child that is forked (see forked) shares that mapping alone.
const (
	slotCount  = 127 // with the kick word, what one futex_waitv takes
	slotSize   = 256 << 10
	slotKeep   = 64 << 10 // pages beyond are given back after a large spawn
	maxSteps   = 62 + 24 + maxLimits + maxAttributes + MaxPaths
	dataOffset = (int(unsafe.Sizeof(layout{})) + 15) &^ 15
	stackSize  = 4 << 10

	maxAttributes = 2*4 + 8 + 3 + (maxCap + 1) + 3 + 4 // files written, terminal, priorities, capabilities, memory of its own
)

// header is how the child reports. The assembly knows its layout.
type header struct {
	alive uint32 // from before the clone not 0; see left
	at    uint32 // number of the step it is at
	errno uint32 // 0, or why step at failed
	_     uint32
}

// step is one raw system call of the child. The assembly knows its layout.
type step struct {
	nr   uintptr
	args [6]uintptr
	pass uint64  // bit n: errno n does not fail the spawn, the next step is made
	got  uintptr // the errno it passed with
}

// lastStep as a step's nr ends the list: no candidate could be executed.
const lastStep = ^uintptr(0)

// layout is how a slot's memory begins. The names are constants, so no
// collection needs to see them there.
type layout struct {
	head  header
	steps [maxSteps + 1]step
	names [maxSteps]string // what each step is called in a report
}

// slot is the Go side of one child's memory.
type slot struct {
	*layout
	mem  []byte
	n    int   // steps in the list
	used int   // bytes of mem in use
	full bool  // something did not fit, or held a NUL
	lent []int // our descriptors that are the child's: closed when it has left

	sharing bool // the child shares our descriptors until its first step
	clears  bool // the kernel undoes our handlers of signals
	forked  bool // the child gets memory of its own at once
	cgroup  int  // that the kernel starts the child in; -1: none
}

// arena is all slots. The lock of the keeper guards free and least.
type arena struct {
	kick  *uint32 // changed and woken when the set of slots in use grows
	free  []*slot
	least int // of free since the last trim: the first of them were not touched
	rest  []byte
}

// newArena maps the slots. Pages count only once they are touched.
func newArena() (*arena, error) {
	mem, err := unix.Mmap(-1, 0, 4096+slotCount*slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	// Huge pages would count whole for a slot that uses three small ones.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	a := &arena{kick: (*uint32)(unsafe.Pointer(&mem[0])), least: slotCount, rest: mem[4096:]}
	for i := slotCount - 1; i >= 0; i-- {
		m := mem[4096+i*slotSize:][:slotSize:slotSize]
		a.free = append(a.free, &slot{layout: (*layout)(unsafe.Pointer(&m[0])), mem: m})
	}
	return a, nil
}

// take returns an empty slot, or nil when all are in use. The last one
// returned is the next one taken, so that few are ever touched.
func (a *arena) take() *slot {
	if len(a.free) == 0 {
		return nil
	}
	s := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	a.least = min(a.least, len(a.free))
	s.reset()
	return s
}

// slotsKept is how many touched slots stay in memory between bursts of spawns.
const slotsKept = 4

// trim gives back the memory that a burst has touched, when nothing starts.
func (a *arena) trim() {
	if len(a.free) < slotCount || slotCount-a.least <= slotsKept {
		return
	}
	a.least = slotCount
	_ = unix.Madvise(a.rest, unix.MADV_REMOVE)
}

func (s *slot) reset() {
	s.head = header{}
	s.n, s.used, s.full, s.sharing, s.clears, s.forked, s.cgroup = 0, dataOffset, false, false, false, false, -1
}

// give takes back a slot whose child has left it.
func (a *arena) give(s *slot) {
	if s.used > slotKeep {
		_ = unix.Madvise(s.mem[slotKeep:], unix.MADV_REMOVE)
	}
	closeAll(s.lent)
	s.lent = s.lent[:0]
	a.free = append(a.free, s)
}

// left reports whether the child no longer uses the slot. The kernel clears the
// word when the child leaves our memory, by exec or by death; of one that was forked
// it clears the number of the thread, and leaves marks of its own.
func (s *slot) left() bool { return gone(atomic.LoadUint32(&s.head.alive)) }

func gone(alive uint32) bool { return alive&futexTID == 0 }

// verdict returns the step that failed and why; errno 0 means the child got
// through to its exec, or was killed on the way there.
func (s *slot) verdict() (name string, errno syscall.Errno) {
	errno = syscall.Errno(atomic.LoadUint32(&s.head.errno))
	if errno == 0 {
		return "", 0
	}
	at := min(int(s.head.at), s.n-1)
	if s.names[at] == stepExec && uint32(s.steps[at].got) == uint32(errno) {
		errno = s.telling(at)
	}
	return s.names[at], errno
}

// telling returns the errno that says most about the candidates tried up to
// step at: a file that may not be executed says more than one that is absent.
func (s *slot) telling(at int) syscall.Errno {
	rank := map[syscall.Errno]int{syscall.ENOENT: 1, syscall.ENOTDIR: 2, syscall.EACCES: 3}
	last := syscall.Errno(s.steps[at].got)
	if rank[last] == 0 {
		return last
	}
	best := last
	for i := range s.steps[:at] {
		if got := syscall.Errno(s.steps[i].got); s.names[i] == stepExec && rank[got] > rank[best] {
			best = got
		}
	}
	return best
}

// add appends a step. A step that does not fit marks the slot full.
func (s *slot) add(name string, pass uint64, nr uintptr, args ...uintptr) {
	if s.n == maxSteps || len(args) > 6 {
		s.full = true
		return
	}
	st := &s.steps[s.n]
	*st = step{nr: nr, pass: pass}
	copy(st.args[:], args)
	s.names[s.n] = name
	s.n++
	s.steps[s.n].nr = lastStep
}

// room returns n bytes of zeroes, aligned for anything, and their address.
func (s *slot) room(n int) ([]byte, uintptr) {
	s.used = (s.used + 15) &^ 15
	if n > len(s.mem)-stackSize-s.used {
		s.full = true
		return nil, 0
	}
	p := s.mem[s.used:][:n]
	s.used += n
	clear(p)
	return p, uintptr(unsafe.Pointer(unsafe.SliceData(p)))
}

// str copies a string, with the NUL that ends it.
func (s *slot) str(text string) uintptr {
	p, at := s.room(len(text) + 1)
	if copy(p, text) < len(text) {
		return 0
	}
	for i := range len(text) {
		s.full = s.full || text[i] == 0
	}
	return at
}

// words copies 64-bit words.
func (s *slot) words(list ...uint64) uintptr {
	p, at := s.room(8 * len(list))
	if p != nil {
		copy(unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(p))), len(list)), list)
	}
	return at
}

// strs copies a list of strings and the null pointer that ends it.
func (s *slot) strs(list []string) uintptr {
	p, at := s.room(8 * (len(list) + 1))
	if p == nil {
		return 0
	}
	ptrs := unsafe.Slice((*uintptr)(unsafe.Pointer(unsafe.SliceData(p))), len(list))
	for i, text := range list {
		ptrs[i] = s.str(text)
	}
	return at
}

// stack returns the child's first stack pointer.
func (s *slot) stack() uintptr {
	return uintptr(unsafe.Pointer(&s.mem[len(s.mem)-16])) &^ 15
}
