package spec

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ahead parses a file as a version would that acts on every key. Taking a row
// out of the table must be all that is needed to get there.
func ahead(t *testing.T, src string) (*Spec, []Problem) {
	t.Helper()
	rows := later
	defer func() { later = rows }()
	clear(later[:])
	return Parse("web.toml", []byte(src), User)
}

const everyLaterKey = `[service]
exec = "web"
main = true
critical = true
nice = -5
ionice = "best-effort:4"
oom_score_adj = -200
cpus = "0-2,64"
no_new_privileges = true
capabilities = ["CAP_net_bind_service", "chown"]
chroot = "/srv/root"
tty = "/dev/tty9"
ports = [8443, 80, 80]
process_filters = ["nginx", "apache2"]
kill_others = true
[resources]
memory_max = "512MiB"
memory_high = 1000
pids_max = 100
cpu_max = 1.5
cpu_weight = 50
io_weight = 200
[lifecycle]
stop_exec = ["stop", "me"]
reload_signal = "HUP"
pre_exec = "mkdir -p /run/web && true"
post_exec = "rm -f /run/web.pid"
[health]
type = "exec"
target = "curl -fs 'http://localhost/'"
expect_status = 204
interval_ms = 1000
timeout_ms = 500
retries = 5
start_period_ms = 3000
on_failure = "report"
`

func TestKeysOfLaterVersionsArriveWhereTheyBelong(t *testing.T) {
	s, problems := ahead(t, everyLaterKey)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	plain, _ := ahead(t, "[service]\nexec = \"web\"\n")
	want := *plain
	score, caps := -200, uint64(1<<10|1)
	want.Main, want.Critical, want.Nice, want.IONice, want.OOMScoreAdj = true, true, -5, IONice{2, 4}, &score
	want.CPUs, want.NoNewPrivileges, want.Capabilities = []uint64{7, 1}, true, &caps
	want.Chroot, want.TTY, want.Ports = "/srv/root", "/dev/tty9", []uint16{80, 8443}
	want.ProcessFilters, want.KillOthers = []string{"nginx", "apache2"}, true
	want.Resources = Resources{512 << 20, 1000, 100, 1.5, 50, 200}
	want.StopExec = Command{Line: "stop me", Argv: []string{"stop", "me"}}
	want.PreExec = Command{Line: "mkdir -p /run/web && true", Argv: []string{"/bin/sh", "-c", "mkdir -p /run/web && true"}, Shell: true}
	want.PostExec = Command{Line: "rm -f /run/web.pid", Argv: []string{"rm", "-f", "/run/web.pid"}}
	want.ReloadSignal = syscall.SIGHUP
	probe := Command{Line: "curl -fs 'http://localhost/'", Argv: []string{"curl", "-fs", "http://localhost/"}}
	want.Health = &HealthCheck{HealthExec, probe.Line, probe, 204, time.Second, 500 * time.Millisecond, 5, 3 * time.Second, LostReport}
	want.Ready.Kind = Health
	want.Source, want.Named = s.Source, s.Named
	if diff := cmp.Diff(&want, s); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if s.IONice.String() != "best-effort:4" || !slices.Equal(CapabilityNames(caps), []string{"chown", "net_bind_service"}) {
		t.Errorf("they are written %s, %q", s.IONice, CapabilityNames(caps))
	}
}

func TestACheckThatSaysLittleHasTheDefaults(t *testing.T) {
	s, problems := ahead(t, "[service]\nexec = \"web\"\nionice = \"idle\"\ncapabilities = []\n[health]\ntype = \"tcp\"\ntarget = \"[::1]:80\"\n")
	if s == nil {
		t.Fatal(problems)
	}
	want := &HealthCheck{Type: HealthTCP, Target: "[::1]:80", ExpectStatus: 200, Interval: 10 * time.Second, Timeout: 5 * time.Second, Retries: 3}
	if diff := cmp.Diff(want, s.Health); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if s.Capabilities == nil || *s.Capabilities != 0 || s.IONice.String() != "idle" || s.PreExec.Given() {
		t.Errorf("capabilities %v, ionice %s, pre_exec %+v", s.Capabilities, s.IONice, s.PreExec)
	}
}

// auto is the check where there is one; a oneshot has no readiness.
func TestReadyIsTheCheckOnlyWhenNothingElseIsSaid(t *testing.T) {
	const check = "[health]\ntype = \"tcp\"\ntarget = \"localhost:80\"\n"
	for text, want := range map[string]ReadyKind{
		"": Spawned, check: Health, `ready = "auto"` + "\n" + check: Health, `ready = "auto"`: Spawned,
		`ready = "spawned"` + "\n" + check: Spawned, `ready = "notify"` + "\n" + check: Notify,
		`ready = "health"` + "\n" + check: Health, `ready = "fd:3"` + "\n" + check: FD, "oneshot = true\n" + check: Spawned,
	} {
		s, problems := ahead(t, "[service]\nexec = \"web\"\n"+text)
		if s == nil || s.Ready.Kind != want {
			t.Errorf("%q: %v, want %v; %v", text, s, want, problems)
		}
		if oneshot := strings.HasPrefix(text, "oneshot"); s != nil && oneshot && (s.Health != nil || len(problems) != 1) {
			t.Errorf("a oneshot is probed: %+v, %v", s.Health, problems)
		}
	}
}

func TestKeysOfLaterVersionsSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`ionice = "idle:3"`:               "unknown value",
		`ionice = "best-effort"`:          "unknown value",
		`ionice = "best-effort:8"`:        "unknown value",
		`cpus = "3-1"`:                    "no list of processors",
		`cpus = "9999"`:                   "no list of processors",
		`oom_score_adj = 2000`:            "out of range",
		`capabilities = ["net_bind"]`:     "unknown capability",
		`chroot = "srv"`:                  "is relative",
		`ports = [0]`:                     "out of range",
		`nice = 20`:                       "out of range",
		"[resources]\ncpu_max = 0":        "out of range",
		"[resources]\ncpu_max = inf":      "out of range",
		"[resources]\nmemory_max = \"0\"": "no size",
		"[lifecycle]\nreload_signal = \"HUP\"\nreload_exec = \"a\"":                 "beside reload_exec",
		"[health]\ntype = \"http\"\ntarget = \"https://localhost/\"":                `write type = "exec"`,
		"[health]\ntype = \"http\"\ntarget = \"http://u:p@localhost/\"":             "is no address",
		"[health]\ntype = \"http\"\ntarget = \"http://localhost:0/\"":               "is no address",
		"[health]\ntype = \"tcp\"\ntarget = \"localhost\"":                          "is no address",
		"[health]\ntype = \"exec\"\ntarget = \"\"":                                  "is empty",
		"[health]\ntype = \"tcp\"\ntarget = \"localhost:80\"\non_failure = \"die\"": "unknown value",
	} {
		s, problems := ahead(t, "[service]\nexec = \"web\"\n"+text+"\n")
		if s != nil || len(problems) == 0 || !strings.Contains(problems[0].Error(), want) {
			t.Errorf("%q: %v, want %q", text, problems, want)
		}
	}
}
