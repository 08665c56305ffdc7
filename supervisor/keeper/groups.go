package keeper

import (
	"time"

	"golang.org/x/sys/unix"
)

// A service's process group outlives its main process when others are in it.
// Its number is not used again while anybody is in the group or the session,
// so it is ours for as long as it was never empty. That is proven by a member
// that is older than the last proof, the first of which is the zombie of the
// main process. Only then is the group signalled.

// lookAtGroups notes which of the groups left behind are gone, as far as that
// is known without looking at every process. Lock held.
func (k *keeper) lookAtGroups() {
	for e := range k.children.left {
		if unix.Kill(-e.pid, 0) == unix.ESRCH {
			k.groupGone(e)
		}
	}
	if len(k.children.left) > 0 {
		k.poke() // those that still exist may be zombies only
	}
}

// groupGone notes that nobody of e's group is left. Lock held.
func (k *keeper) groupGone(e *entry) {
	delete(k.children.left, e)
	e.gone = true
	k.owe(e, Gone)
}

// census is who lives in a group.
type census struct{ living, old int }

// count takes the census of the groups in want, by their number. It reports
// false where there is no /proc.
func count(want map[int]*entry) (map[*entry]census, bool) {
	found := map[*entry]census{}
	err := processes(func(_ int, s stat) {
		e := want[s.pgrp]
		if e == nil || s.sess != e.pid || !s.living() {
			return
		}
		c := found[e]
		c.living++
		if s.start <= e.proven {
			c.old++
		}
		found[e] = c
	})
	return found, err == nil
}

// provenGroup reports whether e's group is still ours to signal. Lock held.
func (k *keeper) provenGroup(e *entry) bool {
	if unix.Kill(e.pid, 0) != unix.ESRCH {
		return false // a process has the number now
	}
	now := ticks()
	found, ok := count(map[int]*entry{e.pid: e})
	if !ok || found[e].old == 0 {
		return false
	}
	e.proven = now
	return true
}

// poke makes the group watcher look. Lock held.
func (k *keeper) poke() {
	k.pokes++
	k.poked.Signal()
}

// watchGroupsOnce looks, after something has happened, at who is left in the
// groups of runs that have exited: soon, then ever more rarely, and after some
// seconds not until something happens again. Whoever dies with us as parent is
// noticed at once without this; it is for those whose parent is another.
func (k *keeper) watchGroupsOnce() {
	seen := k.awaitPoke()
	for pause := 5 * time.Millisecond; pause < 4*time.Second; pause *= 2 {
		time.Sleep(pause)
		if k.census() == 0 {
			return
		}
		if now := k.pokesNow(); now != seen && pause > 100*time.Millisecond {
			seen, pause = now, 50*time.Millisecond
		}
	}
}

func (k *keeper) awaitPoke() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.pokes == k.looked || len(k.children.left) == 0 {
		k.poked.Wait()
	}
	k.looked = k.pokes
	return k.looked
}

func (k *keeper) pokesNow() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looked = k.pokes
	return k.pokes
}

// census notes which groups have no living member and returns how many groups
// are left.
func (k *keeper) census() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.children.left) == 0 {
		return 0
	}
	want := make(map[int]*entry, len(k.children.left))
	for e := range k.children.left {
		want[e.pid] = e
	}
	now := ticks()
	found, ok := count(want)
	if !ok {
		return 0
	}
	for e := range k.children.left {
		switch c := found[e]; {
		case c.living == 0:
			k.groupGone(e)
		case c.old > 0:
			e.proven = now
		}
	}
	k.flush()
	return len(k.children.left)
}
