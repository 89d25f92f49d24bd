#!/usr/bin/env bash
# atop 2.8.1 (Debian 12): the page scans of its PAG line are twice the pages that the kernel scanned.
#
# Guess before the run: atop adds pgscan_kswapd and pgscan_direct, as sar does for its scans (findings/sar-vmeff-200-percent.sh).
# Seen: with 3000 pages scanned by kswapd, all of them of files, it says 6000. Since 5.8 the rows pgscan_anon and pgscan_file tell the same
# pages a second time, and atop takes them for more callers. So the two tools disagree on one machine: sar doubles steals, atop scans.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=2.8.1-1+deb12u1
apt-get download "atop=$version" >/dev/null 2>&1
dpkg -x atop_*.deb .
cp /proc/vmstat vmstat
cat >inside.sh <<'INNER'
mount --bind vmstat /proc/vmstat
(sleep 1.5
 awk '$1 ~ /^(pgsteal|pgscan)_(kswapd|file)$/ { $2 += 3000 } { print }' vmstat >later
 cat later >vmstat) &
LC_ALL=C ./usr/bin/atop -P PAG 3 2
INNER
unshare --map-root-user --mount bash inside.sh >out
# PAG host epoch date time interval page-size scans allocation-stalls ...: the second sample is the interval in which 3000 pages were scanned.
awk '/^PAG/ { line = $0 } END { print line }' out
scans=$(awk '/^PAG/ { n = $8 } END { print n }' out)
test "$scans" = 6000 || { echo "CHANGED: $scans pages scanned, not 6000"; exit 1; }
