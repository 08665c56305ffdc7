package logs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Adopt continues the stores of a predecessor, out of everything the holder
// keeps: it takes "log/NAME/data" and "log/NAME/index" and leaves all else
// alone. The descriptors are the pump's from then on. It comes before Write
// and Attach. Nothing of them is dropped before LimitTotal, which is to come
// when each service has been configured. A store that cannot be read is closed and dropped, and part of
// the error; the others are there all the same.
func (p *Pump) Adopt(held map[string][]int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := map[string]*[2]int{}
	var errs []error
	for name, fds := range held {
		service, file, ok := parseHeld(name)
		if !ok {
			continue
		}
		if len(fds) != 1 || p.stores[service] != nil || p.closed {
			closeAll(fds)
			errs = append(errs, fmt.Errorf("cannot take over %q: %d descriptors came, or it is in use", name, len(fds)))
			continue
		}
		if files[service] == nil {
			files[service] = &[2]int{-1, -1}
		}
		files[service][file] = fds[0]
	}
	for service, fds := range files {
		if err := p.adopt(service, fds[dataFile], fds[indexFile]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// noLimit is that of a store whose service has not been configured yet.
const noLimit = int64(1) << 62

// adopt continues one store. Without an index its bytes are kept as zinit
// would write them; an index alone means nothing.
func (p *Pump) adopt(service string, data, index int) error {
	if data < 0 {
		unix.Close(index)
		p.holder.Drop(heldName(service, indexFile))
		return nil
	}
	limit, known := p.limits[service]
	if !known {
		limit = noLimit
	}
	s, err := adoptStore(service, data, index, limit)
	if err != nil {
		closeAll([]int{data, index})
		p.holder.Drop(heldName(service, dataFile))
		p.holder.Drop(heldName(service, indexFile))
		return err
	}
	p.stores[service] = s
	if s.held[dataFile] = true; index < 0 {
		p.hold(s, indexFile)
	}
	p.count(s)
	p.lenient = true
	p.tell(s)
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
