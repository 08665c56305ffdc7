package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ReadEnvFile reads an env_file and returns what ParseEnvFile makes of it. Only a
// file is opened, and no more of it read than may stand in one: a device that never
// ends would cost the server all the memory of the machine, a FIFO a thread.
func ReadEnvFile(path string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := regular(&st); err != nil {
		return nil, fmt.Errorf("%s %w", printable(path), err)
	}
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return ParseEnvFile(path, src)
}

// ParseEnvFile reads the KEY=VALUE lines of an env_file and returns them as
// environment strings in the order of the file; of a key given twice the last
// stands. Blank lines and those beginning with # or ; are skipped, a leading
// "export" is ignored. A value may be quoted as in a shell, in parts or whole;
// nothing is expanded. The error lists every line that cannot be read, with
// path and number.
func ParseEnvFile(path string, src []byte) ([]string, error) {
	if len(src) > maxFile {
		return nil, fmt.Errorf("%s: is larger than 1 MiB", printable(path))
	}
	var vars []string
	var errs []error
	for i, line := range bytes.Split(bytes.TrimPrefix(src, bom), []byte("\n")) {
		key, value, err := parseVariable(strings.TrimSpace(string(line)))
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s:%d: %w", printable(path), i+1, err))
		case key != "":
			vars = slices.DeleteFunc(vars, func(v string) bool { return strings.HasPrefix(v, key+"=") })
			vars = append(vars, key+"="+value)
		}
		if len(errs) == maxProblems {
			break
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return vars, nil
}

// parseVariable reads one line; key is empty when it holds nothing.
func parseVariable(line string) (key, value string, err error) {
	if line == "" || line[0] == '#' || line[0] == ';' {
		return "", "", nil
	}
	if rest, ok := strings.CutPrefix(line, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
		line = strings.TrimLeft(rest, " \t")
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return "", "", fmt.Errorf("expected KEY=VALUE, found %s", quote(line))
	}
	if key = strings.TrimRight(key, " \t"); !isVariable(key) {
		return "", "", fmt.Errorf("%s is no name of a variable", quote(key))
	}
	if strings.IndexByte(value, 0) >= 0 || !utf8.ValidString(key) {
		return "", "", fmt.Errorf("%s holds a NUL, which no variable can", key)
	}
	value, err = envValue(strings.TrimLeft(value, " \t"))
	if err != nil {
		return "", "", fmt.Errorf("%s %w", key, err)
	}
	return key, value, nil
}

// envValue takes quotes and backslashes out of a value.
func envValue(s string) (string, error) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '"':
			inner, n := unquote(s[i:])
			if n == 0 {
				return "", fmt.Errorf("has a %c that is never closed on its line", c)
			}
			b = append(b, inner...)
			i += n - 1
		case '\\':
			if i++; i < len(s) {
				b = append(b, s[i])
			}
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}
