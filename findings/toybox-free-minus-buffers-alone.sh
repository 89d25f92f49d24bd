#!/usr/bin/env bash
# toybox 0.8.9 (Debian 12; Android's command line tools): the row "-/+ buffers/cache" of free takes off the buffers alone, page cache stays in "used".
#
# Guess before the run: used less buffers and Cached, as the row meant in procps and busybox for twenty years.
# Seen: used - buffers. It asks sysinfo(2), which knows no page cache, and prints the old row all the same. On a machine with a full cache the row that is there to leave the cache out says that nearly all memory is used by programs.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download toybox=0.8.9+dfsg-1 >/dev/null 2>&1
dpkg -x toybox_*.deb .
free=./bin/toybox
dd if=/dev/zero of=file bs=1M count=1024 status=none
cat file >/dev/null
"$free" free -k | tee seen
read -r used buffers < <(awk '/^Mem:/ { print $3, $NF }' seen)
rest=$(awk '/cache:/ { print $3 }' seen)
cache=$(awk '$1 == "Cached:" { print $2 }' /proc/meminfo)
test "$cache" -gt 900000
test $((used - rest - buffers)) -ge -2 && test $((used - rest - buffers)) -le 2 || { echo "CHANGED: $used used, $rest without $buffers of buffers"; exit 1; }
