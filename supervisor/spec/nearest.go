package spec

import "strings"

// meant returns `did you mean "word"?` for the known word nearest to a wrong
// one, or nothing when none is near.
func meant(wrong string, known []string) string {
	if near := nearest(wrong, known); near != "" {
		return `did you mean "` + near + `"?`
	}
	return ""
}

// nearest returns the known word that is one or two slips away from a wrong
// one, or "". Case, and - for _, are no slips.
func nearest(wrong string, known []string) string {
	if len(wrong) > 40 {
		return ""
	}
	wrong = plain(wrong)
	best, least := "", 3
	for _, word := range known {
		most := min(2, len(word)/3) // a short word allows fewer slips
		if d := slips(wrong, plain(word)); d <= most && d < least {
			best, least = word, d
		}
	}
	return best
}

func plain(word string) string {
	return strings.ReplaceAll(strings.ToLower(word), "-", "_")
}

// slips counts the letters to add, remove, change, or swap with their
// neighbour, to get from a to b.
func slips(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// foreign are the words that other supervisors use for our keys.
var foreign = [...][2]string{
	{"command", "service.exec"}, {"cmd", "service.exec"}, {"entrypoint", "service.exec"},
	{"exec_start", "service.exec"}, {"args", "service.exec"},
	{"workdir", "service.dir"}, {"cwd", "service.dir"}, {"working_dir", "service.dir"},
	{"working_directory", "service.dir"}, {"directory", "service.dir"},
	{"environment", "service.env"}, {"environment_file", "service.env_file"},
	{"depends_on", "dependencies.requires"}, {"conflicts_with", "dependencies.conflicts"},
	{"stop_timeout", "lifecycle.stop_timeout_ms"}, {"kill_timeout", "lifecycle.stop_timeout_ms"},
	{"shutdown_timeout", "lifecycle.stop_timeout_ms"}, {"start_timeout", "lifecycle.start_timeout_ms"},
	{"restart_delay", "lifecycle.restart_delay_ms"}, {"term_signal", "lifecycle.stop_signal"},
	{"log", "logging.file"}, {"logfile", "logging.file"},
}

// meantKey returns where a misplaced, misspelt or foreign key belongs.
func meantKey(table, key string) string {
	var here []string
	for i := range rules {
		t, k, _ := strings.Cut(rules[i].path, ".")
		if t == table {
			here = append(here, k)
		}
	}
	if table == "limits" {
		here = limitNames()
	}
	if hint := meant(key, here); hint != "" {
		return hint
	}
	for i := range rules {
		if t, k, _ := strings.Cut(rules[i].path, "."); k == key && t != "target" {
			return `"` + key + `" belongs in [` + t + "]"
		}
	}
	for _, pair := range foreign {
		if pair[0] == plain(key) {
			t, k, _ := strings.Cut(pair[1], ".")
			return `did you mean "` + k + `" in [` + t + "]?"
		}
	}
	if len(here) == 0 {
		return ""
	}
	return "allowed in [" + table + "]: " + strings.Join(here, ", ")
}
