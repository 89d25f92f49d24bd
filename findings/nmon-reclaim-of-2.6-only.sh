#!/usr/bin/env bash
# nmon 16n (Debian 12): its VM section has thirty-odd columns of paging, and reclaim is invisible in all of them.
#
# Guess before the run: columns whose row a kernel of today does not print are -1 (as nmon's MEM section does with bigfree), the others are right.
# Seen: kswapd steals 3000 pages, 9 direct reclaims are entered, 500 pages come from DMA32; nmon writes 0 for kswapd_steal, allocstall, every
# pgsteal_* and every pgscan_*, has no column for DMA32, and shows the 5 kswapd runs (pageoutrun) and 70 pages of NORMAL: kswapd runs and takes
# nothing. The rows were kswapd_steal, allocstall and pgsteal_normal up to 2.6 and 4.7; unknown ones are 0, which a reader takes for "none".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=16n+debian-1+b1
apt-get download "nmon=$version" >/dev/null 2>&1
dpkg -x nmon_*.deb .
cp /proc/vmstat before
awk '$1 ~ /^pg(steal|scan)_(kswapd|file)$/ { $2 += 3000 } $1 == "allocstall_normal" { $2 += 9 } $1 == "pageoutrun" { $2 += 5 }
  $1 == "pgalloc_dma32" { $2 += 500 } $1 == "pgalloc_normal" { $2 += 70 } { print }' before >after
cp before vmstat
cat >inside.sh <<'INNER'
mount --bind vmstat /proc/vmstat
(sleep 3; cat after >vmstat) &
./usr/bin/nmon -F out.nmon -s 2 -c 2
sleep 7
INNER
unshare --map-root-user --mount bash inside.sh
awk -F, '/^VM,Paging/ { for (i = 3; i <= NF; i++) name[i] = $i } /^VM,T/ { for (i = 3; i <= NF; i++) if ($i > most[i]) most[i] = $i }
  END { for (i in name) if (name[i] ~ /steal|scan|allocstall|pageoutrun|pgalloc/) print name[i], most[i] + 0 }' out.nmon | sort | tee seen
grep -q '^pageoutrun 5$' seen && grep -q '^pgalloc_normal 70$' seen && grep -q '^kswapd_steal 0$' seen && grep -q '^allocstall 0$' seen ||
  { echo "CHANGED: the rows of today are read"; exit 1; }
! grep -q dma32 seen || { echo "CHANGED: there is a column for DMA32"; exit 1; }
