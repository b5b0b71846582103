#!/usr/bin/env bash
# Makes sure that the programs named on the command line are there, from
# Debian's own packages: as root it installs what is missing, otherwise it
# prints the command that would. No service is started. Known names:
#
#   cc        what the race detector needs to link
#   redis mariadb postgres
#             the servers that the tests start for themselves
#   chromium  what the page of the examples is looked at with
#   prometheus
#             what the alerts and the dashboard are tested with, promtool included
#   protoc    what make generate needs
set -euo pipefail

# Servers live in sbin and in versioned folders, which an ordinary PATH lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

have_cc() { echo '#include <stdlib.h>' | $(go env CC) -E -x c - >/dev/null 2>&1; }
have_redis() { command -v redis-server >/dev/null && command -v redis-cli >/dev/null; }
have_mariadb() { command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null && command -v mariadb >/dev/null; }
have_postgres() {
	{ compgen -G '/usr/lib/postgresql/*/bin/postgres' || command -v postgres; } >/dev/null && command -v psql >/dev/null
}
have_chromium() { command -v chromium >/dev/null; }
have_prometheus() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }
have_protoc() { command -v protoc >/dev/null; }

# MariaDB's core package is the server without the system service.
declare -A packages=(
	[cc]='gcc libc6-dev'
	[redis]='redis-server'
	[mariadb]='mariadb-server-core mariadb-client-core'
	[postgres]='postgresql'
	[chromium]='chromium fonts-dejavu-core'
	[prometheus]='prometheus'
	[protoc]='protobuf-compiler'
)

# without_services keeps the packages' install scripts from starting anything,
# in the way Debian provides for it, and takes the ban back afterwards.
without_services() {
	local ban=/usr/sbin/policy-rc.d
	if [[ ! -e $ban ]]; then
		trap "rm -f $ban" EXIT
		printf '#!/bin/sh\nexit 101\n' >"$ban"
		chmod +x "$ban"
	fi
	"$@"
}

install() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q -o Acquire::Retries=3 update </dev/null
	without_services apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends "$@" </dev/null
}

missing=()
for name in "$@"; do
	if [[ -z ${packages[$name]:-} ]]; then
		echo "$0: unknown name $name; known: ${!packages[*]}" >&2
		exit 2
	fi
	if ! "have_$name"; then
		read -ra names <<<"${packages[$name]}"
		missing+=("${names[@]}")
	fi
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "missing: what Debian calls ${missing[*]}; install it with this system's package manager" >&2
	exit 1
fi
if ((EUID != 0)); then
	echo "missing: ${missing[*]}; run:" >&2
	echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
install "${missing[@]}"
