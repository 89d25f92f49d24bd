#!/usr/bin/env bash
# ProcDump for Linux 1.2 (Debian 12, procdump): "memory commit" (-M, -m) is resident memory; what was swapped out does not count.
#
# Guess before the run: VmRSS + VmSwap, or VmData; in any case a process of 200 MiB triggers -M 100 whether its pages are in memory or in swap.
# Seen: it triggers with 200 MiB resident and not with 200 MiB swapped out. It adds the fields rss and nswap of /proc/PID/stat; the kernel has printed nswap as 0 since
# 2.6, and the figure is in the row VmSwap of status. So a leak is caught on an idle machine and missed under memory pressure, and -m (commit below) dumps a process that was
# just pushed out. On Windows, where the options come from, commit holds both. (A stub stands for gcore here.)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download procdump=1.2-4 >/dev/null 2>&1
dpkg -x procdump_*.deb .
mkdir bin
printf '#!/bin/sh\necho "dump of $*" >>"%s/dumps"\n' "$dir" >bin/gcore
chmod +x bin/gcore
cat >inside.sh <<'INNER'
sleep 60 >/dev/null 2>&1 &
pid=$!
echo $pid >pid
awk -v rss="$1" '{ $24 = rss / 4; $36 = 0; print }' /proc/$pid/stat >stat
awk -v rss="$1" -v swap="$2" '/^(VmRSS|RssAnon):/ { $2 = rss } /^Vm(HWM|Data|Size|Peak):/ { $2 = 400000 } /^VmSwap:/ { $2 = swap } { print }' /proc/$pid/status >status
mount --bind stat /proc/$pid/stat
mount --bind status /proc/$pid/status
PATH=$PWD/bin:$PATH timeout -k 1 6 ./usr/bin/procdump -M 100 -s 1 -p $pid >log 2>&1
INNER
for case in "204800 0" "2048 204800"; do
  : >dumps
  unshare --map-root-user --mount setsid --wait bash inside.sh $case 2>/dev/null || true # procdump ends its whole process group
  kill "$(cat pid)" 2>/dev/null || true
  set -- $case
  echo "VmRSS $1 kB, VmSwap $2 kB: $(wc -l <dumps) dumps at -M 100"
done | tee seen
grep -qx 'VmRSS 204800 kB, VmSwap 0 kB: 1 dumps at -M 100' seen || { echo "CHANGED: resident memory"; exit 1; }
grep -qx 'VmRSS 2048 kB, VmSwap 204800 kB: 0 dumps at -M 100' seen || { echo "CHANGED: swapped memory counts"; exit 1; }
