#!/bin/sh
# run.sh ZINIT: zinit on the service files beside this script. It shows what
# zinit knows, then every transition, until Ctrl-C stops all in order.
set -eu

zinit=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
here=$(dirname "$0")
DEMO=$(mktemp -d "${TMPDIR:-/tmp}/zinit-demo.XXXXXX")
ZINIT_SOCKET=$DEMO/zinit.sock
export DEMO ZINIT_SOCKET
unset ZINIT_CONFIG_DIR

ask() {
	printf '\n$ zinit %s\n' "$*"
	"$zinit" "$@" || printf '(exit status %s)\n' $?
}

# until_ready NAME: waits, at most ten seconds.
until_ready() {
	tries=0
	until "$zinit" status -q "$1" 2>/dev/null || [ $tries -ge 100 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
}

report() {
	until_ready site
	printf '\n--- the database took its second, and web waited for it ---\n'
	ask list
	ask tree site
	ask why lost
	ask logs -n 8
	cat <<TEXT

--- talk to it from another terminal ---

  export ZINIT_SOCKET=$ZINIT_SOCKET
  $zinit status web
  $zinit logs -f
  $zinit restart db
  kill -9 \$($zinit status web --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1)

--- every transition, until Ctrl-C stops all in order ---

TEXT
}

trap : INT TERM # zinit hears them too, and stops in order
echo "zinit server --config-dir $here --socket $ZINIT_SOCKET"
report &
status=0
"$zinit" server --config-dir "$here" --trust-config || status=$?
wait
rm -rf "$DEMO"
echo "zinit ended with status $status, and everything it started is gone"
exit $status
