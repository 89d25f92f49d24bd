#!/usr/bin/env bash
# zabbix_agentd 6.0.14 (Debian 12): vm.memory.size[total], [used] and [pused] come from sysinfo(2), [available] and [cached] from /proc/meminfo.
#
# Guess before the run: all modes of one item read /proc/meminfo, so that used + available make sense together.
# Seen: with another /proc/meminfo over the real one, as lxcfs gives to containers, "available" is the container's and "total" and "used" the host's;
# pavailable divides the one by the other: a container of 100 MiB that is all free is at a fraction of a per cent. (used is total less free: page cache counts
# as used, unlike in free(1), so that used and available overlap on any machine.)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=1:6.0.14+dfsg-1+b1
apt-get download "zabbix-agent=$version" libmodbus5 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
awk '$1 ~ /^Mem(Total|Free|Available):$/ { $2 = 102400 } { print $1, $2, "kB" }' /proc/meminfo >meminfo
cat >inside.sh <<'INNER'
mount --bind meminfo /proc/meminfo
export LD_LIBRARY_PATH=usr/lib/x86_64-linux-gnu
for mode in total available pavailable; do ./usr/sbin/zabbix_agentd -c /dev/null -t "vm.memory.size[$mode]"; done
INNER
unshare --map-root-user --mount bash inside.sh >out
total=$(awk -F'[|\\]]' '/\[total/ { print $(NF - 1) }' out)
available=$(awk -F'[|\\]]' '/\[available/ { print $(NF - 1) }' out)
percent=$(awk -F'[|\\]]' '/\[pavailable/ { print $(NF - 1) }' out)
echo "MemTotal of the file: 104857600; available: $available; total is the file's: $([ "$total" = 104857600 ] && echo yes || echo no)"
[ "$available" = 104857600 ] && [ "$total" != 104857600 ] || { echo "CHANGED: one source for both"; exit 1; }
awk -v p="$percent" -v a="$available" -v t="$total" 'BEGIN { d = p - 100 * a / t; exit !(d < 0.001 && d > -0.001 && p < 100) }' || { echo "CHANGED: pavailable $percent"; exit 1; }
