package spec

import "strings"

// later are the keys and tables that are judged but that this version does not
// act on. Using one is an error; writing its default is not.
var later = [...]struct {
	path  string // of a key, a table, or a value as key=value
	value string // its default, where that is not false, 0, "" or []
}{
	{"service.process_filters", ""},
	{"service.kill_others", ""},
	{"logging.file", ""},
	{"logging.file_max_bytes", "10MiB"},
	{"logging.file_keep", "5"},
	{"logging.file_format", "raw"},
	{"logging.forward", ""},
	{"logging.console", ""},
}

// supported reports a key whose value asks for what this version does not do.
func (r *reader) supported(path string, v value) {
	for _, l := range later {
		if l.path != path {
			continue
		}
		if v.empty() && (l.value == "" || v.text == l.value) || l.value != "" && v.text == l.value {
			return
		}
		r.notYet(v.at, path)
	}
}

// supportedWord reports a value of a key that this version does not act on.
func (r *reader) supportedWord(word string, v value) {
	for _, l := range later {
		if l.path == r.path+"="+word {
			key, _, _ := strings.Cut(l.path, "=")
			r.notYet(v.at, key[strings.IndexByte(key, '.')+1:]+` = "`+word+`"`)
		}
	}
}

// supportedTable reports a table that this version does not act on.
func (r *reader) supportedTable(table string, at int) {
	for _, l := range later {
		if l.path == table {
			r.notYet(at, "["+table+"]")
		}
	}
}

func (r *reader) notYet(at int, what string) {
	if what == r.path {
		what = ""
	} else {
		what += " "
	}
	r.fail(at, what+"is not supported by this version of zinit", "remove it, or use a version that supports it")
}
