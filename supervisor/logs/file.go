package logs

import (
	"io"

	"golang.org/x/sys/unix"
)

// memfd makes a file in memory, not executable where the kernel knows that.
func memfd(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	return fd, err
}

func pread(fd int, b []byte, at int64) (n int, err error) {
	for {
		if n, err = unix.Pread(fd, b, at); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// writeAll writes b at an offset, or fails.
func writeAll(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		default:
			b, at = b[n:], at+int64(n)
		}
	}
	return nil
}

func fileSize(fd int) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return uint64(st.Size), err
}

// punch frees whole pages from from to to.
func punch(fd int, from, to int64) error {
	for {
		err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
		if err != unix.EINTR {
			return err
		}
	}
}

// pending returns how many bytes are in a pipe.
func pending(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// page is what can be punched out at a time, in bytes.
func page() int64 { return int64(unix.Getpagesize()) }
