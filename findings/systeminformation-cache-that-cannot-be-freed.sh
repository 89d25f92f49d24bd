#!/usr/bin/env bash
# systeminformation 5.33.23 (npm), mem(): "buffcache" holds all slabs, those that cannot be reclaimed too, and is more than half of a machine that has nothing to give.
#
# Guess before the run: Buffers + Cached + SReclaimable, as free(1) has it in buff/cache.
# Seen: Buffers + Cached + Slab. With 3 GiB of unreclaimable slabs "buffcache" is 3.1 GiB while "available" is 0.3 GiB, so used - buffcache, the usual way to a gauge
# "used without caches", says 0.5 GiB of 4. "reclaimable" beside it is SReclaimable alone. (cached is Cached without slabs, so buffers + cached is not buffcache either.)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --prefix . systeminformation@5.33.23 >/dev/null 2>&1
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 200000 MemAvailable: 300000 Buffers: 20000 Cached: 80000 SwapCached: 0 Active: 100000 Inactive: 60000 SwapTotal: 0 SwapFree: 0 Dirty: 0 \
  Writeback: 0 Shmem: 0 KReclaimable: 50000 Slab: 3150000 SReclaimable: 50000 SUnreclaim: 3100000 >meminfo
unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
  node -e "require(\"systeminformation\").mem().then(m => { for (const k of [\"used\", \"available\", \"buffers\", \"cached\", \"slab\", \"buffcache\", \"reclaimable\"]) console.log(k, m[k] / 1024); })"' | tee seen
grep -qx 'buffcache 3250000' seen || { echo "CHANGED: buffcache"; exit 1; }
grep -qx 'available 300000' seen && grep -qx 'reclaimable 50000' seen || { echo "CHANGED: available or reclaimable"; exit 1; }
