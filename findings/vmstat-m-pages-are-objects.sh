#!/usr/bin/env bash
# procps 4.0.2 (Debian 12): the column "Pages" of vmstat -m holds the objects of one slab.
#
# Guess before the run: pages per slab, or (as its manual says) pages with at least one active object.
# Seen: the fifth field of /proc/slabinfo, objects per slab. A cache of 96-byte objects with one page a slab shows 42. Its column "Size" is the
# slot with its padding (object_size of SLUB is not in the file), so Pages x 4 KiB / Size, which looks like a way to check it, never fits.
# vmstat -s of the same package calls the sum of Cached and SReclaimable "swap cache".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download procps=2:4.0.2-3 libproc2-0=2:4.0.2-3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
cat >slabinfo <<'SLABS'
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
task_struct           84     84   9024    3    8 : tunables    0    0    0 : slabdata     28     28      0
kmalloc-96          2460   2478     96   42    1 : tunables    0    0    0 : slabdata     59     59      0
SLABS
printf '%-16s%8d kB\n' MemTotal: 2014644 MemFree: 1963756 MemAvailable: 1888788 Buffers: 0 Cached: 2708 SwapCached: 0 Active: 5856 Inactive: 0 SwapTotal: 0 SwapFree: 0 Shmem: 2708 SReclaimable: 824 >meminfo
unshare --map-root-user --mount bash -c 'mount --bind slabinfo /proc/slabinfo; mount --bind meminfo /proc/meminfo
  export LC_ALL=C LD_LIBRARY_PATH=$PWD/usr/lib/$(uname -m)-linux-gnu
  ./usr/bin/vmstat -m; ./usr/bin/vmstat -s | grep cache' >out
cat out
grep -qE '^kmalloc-96 +2460 +2478 +96 +42$' out || { echo "CHANGED: kmalloc-96"; exit 1; }
grep -qE '^task_struct +84 +84 +9024 +3$' out || { echo "CHANGED: task_struct"; exit 1; }
grep -qE '^ +3532 K swap cache$' out || { echo "CHANGED: swap cache"; exit 1; }
