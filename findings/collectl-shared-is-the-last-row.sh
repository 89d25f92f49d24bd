#!/usr/bin/env bash
# collectl 4.3.1 (Debian 12): [MEM]Shared is 0 beside 300000 kB of tmpfs, and [MEM]Inactive is the inactive page cache alone.
#
# Guess before the run: Shared is Shmem or nr_shmem x 4 (300000 kB here), Inactive the row Inactive (800000 kB), of which the node table (-sM) shows the nodes' part.
# Seen: rows are told by how they begin, and the last one that fits stays. nr_shmem is followed by nr_shmem_hugepages and nr_shmem_pmdmapped (since 4.8), so Shared counts huge mappings of
# tmpfs as if they were pages and is 0 without; Inactive is followed by Inactive(anon) and Inactive(file) (since 2.6.28), so it is the latter: 700000 kB. "Inact" of -sM, in the same output, is
# the row Inactive of the node, so the nodes' parts are not the whole, and the anonymous pages that swap would take first are in no column of the summary.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download collectl=4.3.1-1 >/dev/null 2>&1
dpkg -x collectl_*.deb .
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 400000 MemAvailable: 1500000 Buffers: 10000 Cached: 1200000 SwapCached: 0 Active: 900000 Inactive: 800000 'Active(anon):' 500000 \
  'Inactive(anon):' 100000 'Active(file):' 400000 'Inactive(file):' 700000 Unevictable: 0 Mlocked: 0 SwapTotal: 0 SwapFree: 0 Dirty: 700 Writeback: 0 AnonPages: 310000 Mapped: 150000 \
  Shmem: 300000 Slab: 870000 SReclaimable: 70000 SUnreclaim: 800000 CommitLimit: 2007554 Committed_AS: 2500000 AnonHugePages: 0 >meminfo
awk '$1 == "nr_shmem" { $2 = 75000 } $1 ~ /^nr_shmem_/ { $2 = 0 } { print }' /proc/vmstat >vmstat
grep -c '^nr_shmem' vmstat >/dev/null
unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
  mount --bind vmstat /proc/vmstat
  perl -I usr/share/collectl usr/bin/collectl -sm -c1 -i1 -P' 2>/dev/null >out
awk '/^#Date/ { split($0, name); next } { for (i in name) if (name[i] ~ /Shared|Inactive|Cached/) print name[i], $i }' out | sort | tee seen
diff - seen <<'TEXT' || { echo "CHANGED"; exit 1; }
[MEM]Cached 1200000
[MEM]Inactive 700000
[MEM]Shared 0
TEXT
