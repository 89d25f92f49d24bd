#!/usr/bin/env bash
# stress-ng 0.15.06 (Debian 12): --vm-bytes 5% is five per cent of MemFree, so that the load shrinks as the page cache grows.
#
# Guess before the run: of MemTotal, or of MemAvailable, as its manual says "% of total available memory"; in either case the same before and after a file was read.
# Seen: of the free pages of sysinfo(2), page cache left out. With 6 GiB of cache beside 14 GiB free it takes 719 MiB, where 5% of what is available are 1044. So it asks for the less
# the fuller the cache is, as it usually is, and for most just after a boot, when there is nothing to reclaim. A recorded run of such a command cannot be set up again on a simulated machine without its MemFree at that moment.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download stress-ng=0.15.06-2 libipsec-mb1 libjudydebian1 libsctp1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export LD_LIBRARY_PATH=$(echo "$dir"/usr/lib/*-linux-gnu)
row() { awk -v name="$1:" '$1 == name { print int($2 / 1024) }' /proc/meminfo; }
dd if=/dev/zero of=file bs=1M count=2048 status=none
cat file >/dev/null
free=$(row MemFree) available=$(row MemAvailable)
./usr/bin/stress-ng --vm 1 --vm-bytes 5% --vm-ops 1 --vm-populate --metrics 2>&1 | tee out | grep -E ' vm .*[0-9]$'
resident=$(awk '$4 == "vm" && $NF ~ /^[0-9]+$/ { print int($NF / 1024) }' out) # the last column of --metrics, RSS Max in KB
echo "5% is $resident MiB: x 20 is $((resident * 20)), MemFree $free, MemAvailable $available"
away() { echo $((resident * 20 > $1 ? resident * 20 - $1 : $1 - resident * 20)); }
test $((available - free)) -ge 1500
test "$(away "$free")" -lt 1000 && test "$(away "$available")" -gt "$(away "$free")" || { echo "CHANGED: per cent of something else"; exit 1; }
