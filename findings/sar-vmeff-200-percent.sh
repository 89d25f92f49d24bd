#!/usr/bin/env bash
# sysstat 12.6.1 (Debian 12): sar -B counts every reclaimed page twice, so %vmeff reads 200 where all scanned pages were reclaimed.
#
# Guess before the run: pgsteal/s is the rate of pgsteal_kswapd + pgsteal_direct, and %vmeff cannot pass 100.
# Seen: /proc/vmstat tells the same pages three ways since 5.8: by who took them (pgsteal_kswapd, _direct), by what they were (pgsteal_anon,
# _file) and later by more callers (_khugepaged, _proactive). sadc adds up every row that begins with "pgsteal_", so each page counts twice;
# scans are read from pgscan_kswapd and pgscan_direct alone and count once. By sar's manual
# near 100 % means that almost every page seen was taken: 200 % is a figure that cannot be.
# Who compares a simulated machine's reclaim with a recorded sar file halves pgsteal/s first.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=12.6.1-1
apt-get download "sysstat=$version" >/dev/null 2>&1
dpkg -x sysstat_*.deb .
cp /proc/vmstat vmstat
cat >inside.sh <<'INNER'
mount --bind vmstat /proc/vmstat
# kswapd scanned and took 3000 file pages, as a kernel counts them.
(sleep 1
 awk '$1 ~ /^(pgsteal|pgscan)_(kswapd|file)$/ { $2 += 3000 } { print }' vmstat >later
 cat later >vmstat) &
LC_ALL=C ./usr/lib/sysstat/sadc 3 2 data >/dev/null
LC_ALL=C ./usr/bin/sar.sysstat -B -f data
INNER
unshare --map-root-user --mount bash inside.sh >out
cat out
vmeff=$(awk '/^Average/ { print $NF }' out)
test "$vmeff" = 200.00 || { echo "CHANGED: %vmeff is $vmeff, not 200.00"; exit 1; }
