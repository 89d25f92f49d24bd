#!/usr/bin/env bash
# procps 4.0.2 (Debian 12): "used" of free(1) is total - available, so used + free + buff/cache is more than the total.
#
# Guess before the run: used = total - free - buffers - cache, as for twenty years, so that the columns add up to the total.
# Seen: total - available. On an idle machine with 2 GiB the columns add up to 78,500 kB more than there is: what the kernel keeps back (the
# reserves and watermarks that MemAvailable leaves out) counts as used and as free at once. Who compares a simulated machine's free output with
# a recorded one must know which procps printed it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download procps=2:4.0.2-3 libproc2-0=2:4.0.2-3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
printf '%-16s%8d kB\n' MemTotal: 2014644 MemFree: 1963756 MemAvailable: 1888788 Buffers: 0 Cached: 2708 SwapCached: 0 SwapTotal: 0 SwapFree: 0 Shmem: 2708 SReclaimable: 824 >meminfo
unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
  LC_ALL=C LD_LIBRARY_PATH=$PWD/usr/lib/$(uname -m)-linux-gnu ./usr/bin/free -k' >out
cat out
set -- $(awk '/^Mem:/ { print $2, $3, $4, $6, $7 }' out)
test $(($3 + $2 + $4 - $1)) = 78500 || { echo "CHANGED: used $2, free $3, buff/cache $4 of $1"; exit 1; }
test "$2" = $(($1 - $5)) || { echo "CHANGED: used is not total - available"; exit 1; }
