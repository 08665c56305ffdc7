package keeper

// despair is after how many servers in a row that came to nothing somebody at
// the console is asked. By then a server has tried without its predecessors'
// memory.
const despair = 8

// cryForHelp starts what Options.Emergency gives, when servers keep failing and
// none of its kind is there yet.
func (k *keeper) cryForHelp() {
	if k.opt.Emergency == nil {
		return
	}
	k.mu.Lock()
	n, births := k.misses, k.births
	if k.end != nil {
		n = 0
	}
	k.mu.Unlock()
	if n < despair {
		return
	}
	s := k.opt.Emergency(births)
	kind, _ := ParseTag(s.Tag)
	k.mu.Lock()
	for _, e := range k.children.byPid {
		if other, _ := ParseTag(e.key.tag); other == kind && !e.dead {
			n = 0
		}
	}
	k.mu.Unlock()
	if n > 0 {
		k.say("%d servers in a row came to nothing; somebody at the console is asked", n)
		k.spawn(&s)
	}
}
