#!/bin/sh
# setup.sh RING...: install what a test ring needs, on Debian and its kin.
#
#   real       redis-server, nginx, postgresql, openssh-server, cron, memcached
#   vm         qemu, busybox, a kernel without its hooks (kept in the cache)
#   container  dockerd
#   bench      gcc
#
# It asks for nothing that is there already, starts no service, and ends with
# a line for each ring that could not be made ready; the tests of that ring
# then say so again. Needs root and apt for whatever is missing.
set -u

export DEBIAN_FRONTEND=noninteractive
cache=${ZINIT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/zinit}
failed=0
updated=

say() { echo "setup: $*"; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/usr/local/sbin/$1" ]; }

cannot() { # RING WHY
	say "ring $1 is not ready: $2"
	failed=1
}

may_install() {
	[ "$(id -u)" = 0 ] && have apt-get
}

update() {
	[ -n "$updated" ] && return 0
	apt-get -qq update </dev/null || return 1
	updated=yes
}

# No package may start its server here: policy-rc.d says no to all of them.
install() {
	may_install || return 1
	update || return 1
	policy=/usr/sbin/policy-rc.d
	made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=yes
	fi
	say "installing $*"
	apt-get -qq -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@" </dev/null >"$cache/apt.log" 2>&1
	code=$?
	[ -n "$made" ] && rm -f $policy
	[ $code = 0 ] || tail -n 5 "$cache/apt.log"
	return $code
}

need() { # RING PACKAGE... : the reason when that cannot be had
	ring=$1
	shift
	if ! may_install; then
		cannot "$ring" "as root, run: apt-get install $*"
		return 1
	fi
	install "$@" || { cannot "$ring" "apt-get install $* failed"; return 1; }
}

postgres_there() {
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1
}

ring_real() {
	missing=
	have redis-server || missing="$missing redis-server"
	have nginx || missing="$missing nginx"
	have sshd || missing="$missing openssh-server"
	have cron || missing="$missing cron"
	have memcached || missing="$missing memcached"
	postgres_there || missing="$missing postgresql"
	[ -z "$missing" ] && return
	# Debian's postgresql makes and starts a cluster of its own unless told not to.
	if [ "$(id -u)" = 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		mkdir -p /etc/postgresql-common
		echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
	fi
	# shellcheck disable=SC2086
	need real $missing
}

# The kernel package is unpacked, not installed: its hooks would write a boot loader.
kernel() {
	[ -s "$cache/vmlinuz" ] && return 0
	may_install && update || return 1
	name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
	[ -n "$name" ] || return 1
	dir=$(mktemp -d) || return 1
	say "unpacking $name"
	(
		cd "$dir" && chmod 755 . &&
			apt-get -qq -o APT::Sandbox::User=root download "$name" </dev/null &&
			dpkg-deb -x ./*.deb tree &&
			cp tree/boot/vmlinuz-* "$cache/vmlinuz.new" &&
			mv "$cache/vmlinuz.new" "$cache/vmlinuz"
	)
	code=$?
	rm -rf "$dir"
	return $code
}

ring_vm() {
	missing=
	have qemu-system-x86_64 || missing="$missing qemu-system-x86"
	[ -x /bin/busybox ] || missing="$missing busybox-static"
	have redis-server || missing="$missing redis-server"
	# shellcheck disable=SC2086
	if [ -n "$missing" ]; then need vm $missing || return; fi
	kernel || cannot vm "no kernel: put one at $cache/vmlinuz, or as root run: testdata/setup.sh vm"
}

ring_container() {
	have dockerd || need container docker.io
}

ring_bench() {
	have gcc || need bench gcc libc6-dev
}

mkdir -p "$cache" || exit 1
for ring in "$@"; do
	case $ring in
	real | vm | container | bench) "ring_$ring" ;;
	*)
		echo "setup: unknown ring $ring (real vm container bench)" >&2
		exit 2
		;;
	esac
done
exit $failed
