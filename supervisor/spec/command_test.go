package spec

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOnlyWhatNeedsTheShellGoesToIt(t *testing.T) {
	for _, line := range []string{
		"a | b", "a && b", "a; b", "a < b", "a > b", "(a)", "a $X", "a `b`", "a *", "a ?", "a [b]", "a ~", "a # b", "! a",
		"X=1 a", "_x9=", "if true; then a; fi", "{ a", "cd /", "exec a", "echo hi", ". a", "a \"$X\"", "a \"`b`\"", "a\nb", "true",
	} {
		if c, err := ParseCommand(line); err != nil || !c.Shell || !slices.Equal(c.Argv, []string{"/bin/sh", "-c", line}) {
			t.Errorf("%q: %+v, %v", line, c, err)
		}
	}
	for line, want := range map[string][]string{
		"/usr/bin/web --port 8080":     {"/usr/bin/web", "--port", "8080"},
		"nginx -g 'daemon off;'":       {"nginx", "-g", "daemon off;"},
		`a "b; c" '$X' \$Y "\$Z"`:      {"a", "b; c", "$X", "$Y", "$Z"},
		"  a \t b  ":                   {"a", "b"},
		`a '' "" b`:                    {"a", "", "", "b"},
		`a b\ c'd e'"f g"`:             {"a", "b cd ef g"},
		`a "x\y\"z\\"`:                 {"a", `x\y"z\`},
		"a --opt=X=1 9X=2":             {"a", "--opt=X=1", "9X=2"},
		"9X=2 a":                       {"9X=2", "a"},
		"ifconfig lo up":               {"ifconfig", "lo", "up"},
		"a {b,c} x{} -":                {"a", "{b,c}", "x{}", "-"},
		"/bin/sh -c 'exec a > b'":      {"/bin/sh", "-c", "exec a > b"},
		"caf\u00e9 \u65e5\u672c":       {"caf\u00e9", "\u65e5\u672c"},
		"a \"caf\u00e9\" '\u65e5' 'x'": {"a", "caf\u00e9", "\u65e5", "x"},
	} {
		if c, err := ParseCommand(line); err != nil || c.Shell || !slices.Equal(c.Argv, want) {
			t.Errorf("%q: %+v, %v; want %q", line, c, err, want)
		}
	}
}

func TestACommandThatIsNoneSaysWhy(t *testing.T) {
	for line, want := range map[string]string{
		"": "is empty", " \t\n": "is empty", "a 'b": "never closed", `a "b`: "never closed", `a \`: "backslash", "''": "first word is empty",
	} {
		if c, err := ParseCommand(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", line, c, err, want)
		}
	}
}

func TestExplainSaysHowAndWhy(t *testing.T) {
	for line, want := range map[string]string{
		"a 'b c'": `runs directly: "a" "b c"`,
		"a | b":   `runs through the shell, because of |: "/bin/sh" "-c" "a | b"`,
		"cd /":    `runs through the shell, because of "cd", a word of the shell: "/bin/sh" "-c" "cd /"`,
		"X=1 a":   `runs through the shell, because of the assignment to X: "/bin/sh" "-c" "X=1 a"`,
	} {
		if c, _ := ParseCommand(line); c.Explain() != want {
			t.Errorf("got %s, want %s", c.Explain(), want)
		}
	}
}

// What is run directly must be what the shell would have run. The real shell
// is the twin.
func TestDirectCommandsAreSplitAsTheShellSplitsThem(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatalf("no shell to compare with: %v", err)
	}
	var lines []string
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", " ", "  ", "'", `"`, `\`, "=", "-", "{", "}", "\t", "'x y'", `"x y"`, "é", "%", "[", "$"}), 1, 9)
		lines = append(lines, "w"+strings.Join(pieces.Draw(t, "line"), ""))
	})
	// One shell for all: each line is split and printed word by word.
	var script, want strings.Builder
	script.WriteString("show() { for w; do printf '<%s>' \"$w\"; done; echo; }\n")
	count := 0
	for _, line := range lines {
		c, err := ParseCommand(line)
		if err != nil || c.Shell {
			continue
		}
		count++
		script.WriteString("show " + c.Line + "\n")
		for _, w := range c.Argv {
			want.WriteString("<" + w + ">")
		}
		want.WriteString("\n")
	}
	cmd := exec.Command(sh)
	cmd.Stdin = strings.NewReader(script.String())
	got, err := cmd.CombinedOutput()
	if err != nil || string(got) != want.String() || count == 0 {
		t.Errorf("%d lines, %v: the shell says\n%s\nwe say\n%s", count, err, got, want.String())
	}
}

func TestAListIsWrittenSoThatAShellReadsItBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z '"\\$|]{0,6}`), 1, 4).Draw(t, "words")
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, shellQuote(w))
		}
		if got, err := split(strings.Join(quoted, " ")); err != nil || !slices.Equal(got, words) {
			t.Fatalf("%q became %q became %q, %v", words, quoted, got, err)
		}
	})
}
