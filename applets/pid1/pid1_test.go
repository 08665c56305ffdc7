package pid1

import (
	"slices"
	"testing"
)

func TestTheKernelsWordsThatConcernUs(t *testing.T) {
	for line, want := range map[string][]string{
		"root=/dev/vda1 ro splash foo=bar":            nil,
		"zinit.target=web zinit.log=debug":            {"--target", "web", "--log-level", "debug"},
		"quiet single":                                {"--quiet", "--rescue"},
		"zinit.rescue zinitdebug=1 -- quiet":          {"--rescue", "--log-level", "debug"},
		"singleton zinit.target= quietly zinit.rescu": nil,
		"init=/sbin/init -- single":                   nil,
	} {
		if _, got := kernelWords(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestNamesOfMountsAreReadAsTheKernelWritesThem(t *testing.T) {
	for text, want := range map[string]string{
		`/mnt`: "/mnt", `/a\040b`: "/a b", `/t\011\012\134x`: "/t\t\n\\x", `/x\0`: `/x\0`, `/x\999`: `/x\999`,
	} {
		if got := unescape(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
