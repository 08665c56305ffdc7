package spec

import (
	"strings"
	"testing"
)

func TestEditTouchesTheKeyAlone(t *testing.T) {
	const file = "# mine\n[service]\nexec = \"web # not a comment\"  # why\nstatus = 'start' # at boot\nenv = { A = \"1\" }\n\n[dependencies]\nrequires = [\n  \"db\", # first\n  \"net\",\n]\n"
	for _, c := range []struct{ path, value, old, new string }{
		{"service.exec", `"x"`, `"web # not a comment"`, `"x"`},
		{"service.status", `"stop"`, `'start'`, `"stop"`},
		{"dependencies.requires", `["a"]`, "[\n  \"db\", # first\n  \"net\",\n]", `["a"]`},
		{"service.user", `"www"`, "[service]\n", "[service]\nuser = \"www\"\n"},
		{"lifecycle.restart", `"never"`, "  \"net\",\n]\n", "  \"net\",\n]\n\n[lifecycle]\nrestart = \"never\"\n"},
	} {
		got, err := Edit([]byte(file), c.path, c.value)
		if want := strings.Replace(file, c.old, c.new, 1); err != nil || string(got) != want {
			t.Errorf("%s = %s: %v\n%s\nwant\n%s", c.path, c.value, err, got, want)
		}
	}
}

func TestEditRefusesWhatItCannotReplace(t *testing.T) {
	for path, file := range map[string]string{
		"service.exec":   "service = { exec = \"x\" }\n",
		"service.user":   "service = { exec = \"x\" }\n",
		"restart":        "[service]\nexec = \"x\"\n",
		"service.status": "[service]\nexec = \"x\"\n\"status\" = \"stop\"\n",
	} {
		if got, err := Edit([]byte(file), path, `"y"`); err == nil {
			t.Errorf("%s: got\n%s", path, got)
		}
	}
}
