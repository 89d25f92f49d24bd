#!/usr/bin/env bash
# libgtop 2.40.0 (Debian 12), glibtop_get_mem (GNOME, MATE and Xfce system monitors and panel meters): "cached" holds all slabs, those that cannot be reclaimed too.
#
# Guess before the run: cached is Cached, or Cached + SReclaimable as in procps; user = total - free - cached - buffers.
# Seen: cached is Cached + Slab, 3000000 kB of kernel objects that nothing can free here, while user is MemTotal - MemAvailable: user + cached + buffers + free, the parts of a
# stacked meter, are 180 % of the machine. So a leak in the kernel shows twice, once as programs' memory and once as cache.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download libgtop-2.0-11=2.40.0-2 libglib2.0-0 libpcre2-8-0 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 200000 MemAvailable: 300000 Buffers: 20000 Cached: 280000 SwapCached: 0 SwapTotal: 0 SwapFree: 0 Shmem: 0 Slab: 3050000 SReclaimable: 50000 SUnreclaim: 3000000 >meminfo
cat >probe.py <<'CODE'
import ctypes, glob

gtop = ctypes.CDLL(glob.glob("usr/lib/*/libgtop-2.0.so.11")[0])
gtop.glibtop_init()
memory = (ctypes.c_uint64 * 16)()
gtop.glibtop_get_mem(memory)
for name, value in zip(("flags", "total", "used", "free", "shared", "buffer", "cached", "user"), memory):
    print(name, value if name == "flags" else value // 1024)
CODE
unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
  LD_LIBRARY_PATH=$(echo usr/lib/*-linux-gnu):$(echo lib/*-linux-gnu) python3 probe.py' | tee seen
grep -qx 'total 4015108' seen && grep -qx 'free 200000' seen || { echo "CHANGED: it does not read the file"; exit 1; }
grep -qx "cached $((280000 + 3050000))" seen || { echo "CHANGED: cached"; exit 1; }
grep -qx "user $((4015108 - 300000))" seen || { echo "CHANGED: user"; exit 1; }
