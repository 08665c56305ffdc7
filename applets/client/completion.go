package client

import (
	"fmt"
	"slices"
	"strings"

	"zinit/applets/help"
)

func (s *session) completionVerb() *command {
	return &command{
		name: "completion", usage: "print what a shell needs to complete commands, flags and names", args: "bash|zsh|fish",
		about: example("  zinit completion bash > /etc/bash_completion.d/zinit\n  zinit completion zsh > \"${fpath[1]}/_zinit\"\n" +
			"  zinit completion fish > ~/.config/fish/completions/zinit.fish\n  source <(zinit completion bash)     # for this shell"),
		run: func(c *call) error {
			scripts := map[string]func([]*command) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
			if len(c.names) != 1 || scripts[c.names[0]] == nil {
				return fail(exitUsage, "zinit completion bash", "completion is for bash, zsh or fish")
			}
			fmt.Fprint(s.std.Out, scripts[c.names[0]](s.verbs()))
			return nil
		},
	}
}

// takes says what follows a command: names of services, files, topics, or
// nothing.
func (cmd *command) takes() string {
	switch {
	case cmd.name == "help":
		return "topics"
	case cmd.name == "completion":
		return "shells"
	case strings.Contains(cmd.args, "PATH"), strings.Contains(cmd.args, "FILE"):
		return "files"
	case strings.Contains(cmd.args, "NAME"):
		return "names"
	}
	return ""
}

// flagsOf are the flags of a command as they are typed, those of every command
// included.
func flagsOf(cmd *command) []string {
	var flags []string
	for _, o := range cmd.options {
		for _, name := range []string{o.name, o.short} {
			if len(name) == 1 {
				flags = append(flags, "-"+name)
			} else if name != "" {
				flags = append(flags, "--"+name)
			}
		}
	}
	return append(flags, "--help", "--json", "--no-color", "--socket")
}

// topicsOf is what help takes.
func topicsOf(list []*command) []string { return append(help.Topics(), verbNames(list)...) }

// namesScript prints the names of all services, one a line, without a tool but
// sed. The flags that choose a server are those of the line being completed.
const namesScript = `zinit "$@" list --json 2>/dev/null | sed 's/},{"name":/\n"name":/g' | sed -n 's/^[^"]*"name":"\([^"\\]*\)".*/\1/p'`

func bashCompletion(list []*command) string {
	var b strings.Builder
	b.WriteString("# bash completion for zinit\n_zinit_names() { " + namesScript + "; }\n\n")
	b.WriteString(`_zinit() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= socket=() i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket) socket=(--socket "${COMP_WORDS[i+1]}"); ((i++)) ;;
		-*) ;;
		*) [[ $verb ]] || verb=${COMP_WORDS[i]} ;;
		esac
	done
	COMPREPLY=()
	if [[ $prev == --socket ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
		return
	fi
	local flags= words= names= files=
	case $verb in
`)
	fmt.Fprintf(&b, "	'') flags='--help --version --json --no-color --socket'; words='%s' ;;\n", strings.Join(verbNames(list), " "))
	for _, c := range list {
		fmt.Fprintf(&b, "	%s) flags='%s'", strings.Join(c.names(), "|"), strings.Join(flagsOf(c), " "))
		switch c.takes() {
		case "names":
			b.WriteString("; names=1")
		case "files":
			b.WriteString("; files=1")
		case "topics":
			fmt.Fprintf(&b, "; words='%s'", strings.Join(topicsOf(list), " "))
		case "shells":
			b.WriteString("; words='bash zsh fish'")
		}
		b.WriteString(" ;;\n")
	}
	b.WriteString(`	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		return
	fi
	[[ $names ]] && words=$(_zinit_names "${socket[@]}")
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
	[[ $files ]] && COMPREPLY+=($(compgen -f -- "$cur"))
}
complete -o filenames -F _zinit zinit
`)
	return b.String()
}

// quoteShell puts text in single quotes, as zsh and fish both read them.
func quoteShell(text string) string {
	return "'" + strings.NewReplacer(`'`, `’`, `\`, `\\`).Replace(text) + "'"
}

func zshCompletion(list []*command) string {
	var b strings.Builder
	b.WriteString("#compdef zinit\n# zsh completion for zinit\n_zinit_names() { " + namesScript + "; }\n\n")
	b.WriteString("_zinit() {\n	local -a verbs socket names\n	verbs=(\n")
	for _, c := range list {
		for _, n := range c.names() {
			fmt.Fprintf(&b, "		%s\n", quoteShell(n+":"+strings.ReplaceAll(c.usage, ":", `\:`)))
		}
	}
	b.WriteString(`	)
	local verb= i
	for ((i = 2; i < CURRENT; i++)); do
		case ${words[i]} in
		--socket) socket=(--socket "${words[i+1]}"); ((i++)) ;;
		-*) ;;
		*) [[ -n $verb ]] || verb=${words[i]} ;;
		esac
	done
	if [[ ${words[CURRENT-1]} == --socket ]]; then
		_files
		return
	fi
	case $verb in
	'')
		if [[ ${words[CURRENT]} == -* ]]; then
			compadd -- --help --version --json --no-color --socket
		else
			_describe command verbs
		fi
		return ;;
`)
	for _, c := range list {
		fmt.Fprintf(&b, "	%s)\n		if [[ ${words[CURRENT]} == -* ]]; then\n			compadd -- %s\n			return\n		fi\n", strings.Join(c.names(), "|"), strings.Join(flagsOf(c), " "))
		switch c.takes() {
		case "names":
			b.WriteString("		names=(${(f)\"$(_zinit_names $socket)\"})\n		compadd -a names\n")
		case "files":
			b.WriteString("		_files\n")
		case "topics":
			fmt.Fprintf(&b, "		compadd -- %s\n", strings.Join(topicsOf(list), " "))
		case "shells":
			b.WriteString("		compadd -- bash zsh fish\n")
		}
		b.WriteString("		;;\n")
	}
	b.WriteString("	esac\n}\n\nif [ \"$funcstack[1]\" = _zinit ]; then _zinit \"$@\"; else compdef _zinit zinit; fi\n")
	return b.String()
}

func fishCompletion(list []*command) string {
	var b strings.Builder
	b.WriteString("# fish completion for zinit\nfunction __zinit_names\n	" + strings.Replace(namesScript, `"$@" `, "", 1) + "\nend\n\ncomplete -c zinit -f\n")
	b.WriteString("complete -c zinit -l json -d 'print JSON'\ncomplete -c zinit -l no-color -d 'no colours'\ncomplete -c zinit -l socket -r -F -d 'the socket of the server'\n")
	for _, c := range list {
		seen := "'__fish_seen_subcommand_from " + strings.Join(c.names(), " ") + "'"
		for _, n := range c.names() {
			fmt.Fprintf(&b, "complete -c zinit -n __fish_use_subcommand -a %s -d %s\n", n, quoteShell(c.usage))
		}
		for _, o := range c.options {
			fmt.Fprintf(&b, "complete -c zinit -n %s%s", seen, fishFlag(o.name)+fishFlag(o.short))
			if o.def != false {
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", quoteShell(o.usage))
		}
		switch words := map[string][]string{"names": {"(__zinit_names)"}, "topics": topicsOf(list), "shells": {"bash", "zsh", "fish"}}[c.takes()]; {
		case words != nil:
			slices.Sort(words)
			fmt.Fprintf(&b, "complete -c zinit -n %s -a '%s'\n", seen, strings.Join(slices.Compact(words), " "))
		case c.takes() == "files":
			fmt.Fprintf(&b, "complete -c zinit -n %s -F\n", seen)
		}
	}
	return b.String()
}

func fishFlag(name string) string {
	switch len(name) {
	case 0:
		return ""
	case 1:
		return " -s " + name
	}
	return " -l " + name
}
