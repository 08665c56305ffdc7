package cgroup

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Watcher tells when the last living process of a service's cgroup is gone, or
// the first has come. Its goroutine waits for notes of the kernel that some
// cgroup.events has changed, as for a socket: in a system call it would keep a
// server of one processor from going on for milliseconds (measured).
type Watcher struct {
	tree  *Tree
	tell  func(service string)
	notes int // inotify, which file owns
	file  *os.File
	over  chan struct{}

	mu     sync.Mutex
	names  map[int32]string // service by watch
	byName map[string]int32
	closed bool
}

// Watch starts one. tell is called without a lock by one goroutine, perhaps
// once too often; what is the case is Populated's to say.
func (t *Tree) Watch(tell func(service string)) (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch cgroups: %w", err)
	}
	w := &Watcher{tree: t, tell: tell, notes: fd, file: os.NewFile(uintptr(fd), "inotify"), over: make(chan struct{}),
		names: map[int32]string{}, byName: map[string]int32{}}
	go w.run()
	return w, nil
}

// Add watches a service's cgroup, until it is removed. What is the case at that
// moment is not told: look after Add.
func (w *Watcher) Add(service string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("cannot watch the cgroup of %q: the watcher is closed", service)
	}
	n, err := unix.InotifyAddWatch(w.notes, filepath.Join(w.tree.Path(service), "cgroup.events"), unix.IN_MODIFY)
	if err != nil {
		return fmt.Errorf("cannot watch the cgroup of %q: %w", service, err)
	}
	w.names[int32(n)], w.byName[service] = service, int32(n)
	return nil
}

// Remove stops watching a service.
func (w *Watcher) Remove(service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := w.byName[service]; ok && !w.closed {
		_, _ = unix.InotifyRmWatch(w.notes, uint32(n))
		w.forget(n)
	}
}

// forget is for a watch that is no more. Lock held.
func (w *Watcher) forget(n int32) {
	if service := w.names[n]; w.byName[service] == n {
		delete(w.byName, service)
	}
	delete(w.names, n)
}

// Close ends the goroutine.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	w.file.Close()
	w.mu.Unlock()
	<-w.over
}

func (w *Watcher) run() {
	defer close(w.over)
	var text [4096]byte
	for {
		n, err := w.file.Read(text[:])
		if err != nil {
			return
		}
		for _, service := range w.read(text[:n]) {
			w.tell(service)
		}
	}
}

// read takes the notes apart: each service once. When some were lost, all may
// have changed. Source: inotify(7), struct inotify_event.
func (w *Watcher) read(text []byte) (services []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	add := func(service string) {
		if service != "" && !seen[service] {
			seen[service] = true
			services = append(services, service)
		}
	}
	for len(text) >= unix.SizeofInotifyEvent {
		n, mask := int32(binary.NativeEndian.Uint32(text)), binary.NativeEndian.Uint32(text[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(text[12:]))
		text = text[min(size, len(text)):]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			for service := range w.byName {
				add(service)
			}
		case mask&unix.IN_IGNORED != 0: // the cgroup was removed
			w.forget(n)
		default:
			add(w.names[n])
		}
	}
	return services
}
