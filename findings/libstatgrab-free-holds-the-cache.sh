#!/usr/bin/env bash
# libstatgrab 0.92.1 (Debian 12): "free" memory holds the page cache that "cache" tells a second time, and the pages paged in are kilobytes.
#
# Guess before the run: total = free + used + cache, or free is MemFree and used the rest; pages_pagein counts pages.
# Seen: free is MemFree + Cached (1800000 of 400000 kB), cache is Cached, with tmpfs and without buffers and slabs, so free + used is the total and free + used + cache is 1.35 times it.
# sg_get_page_stats hands through pgpgin and pgpgout of vmstat, which are in KiB, as a number of pages: a factor of 4 for
# who multiplies by the page size, and reads of files where swapping is looked for (pswpin and pswpout count pages and are not used).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download libstatgrab10=0.92.1-1.1 >/dev/null 2>&1
dpkg -x libstatgrab10_*.deb .
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 400000 MemAvailable: 1500000 Buffers: 100000 Cached: 1400000 SwapCached: 0 SwapTotal: 0 SwapFree: 0 Shmem: 200000 SReclaimable: 150000 >meminfo
printf 'pgpgin 4000\npgpgout 8000\npswpin 10\npswpout 20\n' >vmstat
cat >probe.py <<'CODE'
import ctypes, glob

grab = ctypes.CDLL(glob.glob("usr/lib/*/libstatgrab.so.10")[0])
for call in (grab.sg_get_mem_stats, grab.sg_get_page_stats):
    call.restype = ctypes.POINTER(ctypes.c_uint64)
grab.sg_init(1)
total, free, used, cache = grab.sg_get_mem_stats(None)[:4]
print("total", total // 1024, "free", free // 1024, "used", used // 1024, "cache", cache // 1024)
print("pages in", *grab.sg_get_page_stats(None)[:1], "out", *grab.sg_get_page_stats(None)[1:2])
CODE
unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo; mount --bind vmstat /proc/vmstat
  python3 probe.py' | tee seen
grep -qx 'total 4015108 free 1800000 used 2215108 cache 1400000' seen || { echo "CHANGED: memory"; exit 1; }
grep -qx 'pages in 4000 out 8000' seen || { echo "CHANGED: pages"; exit 1; }
