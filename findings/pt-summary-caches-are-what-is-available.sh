#!/usr/bin/env bash
# percona-toolkit 3.2.1 (Debian 12): "Caches" of pt-summary is MemAvailable, and "Buffers" is buffers and caches together.
#
# Guess before the run: Buffers and Caches are the rows of meminfo, which it saves beside the output of free, or the columns of free under these names.
# Seen: the sixth and seventh column of `free -b`, which were buffers and cached up to procps 3.3.9 and are buff/cache and available since 2014. A machine that has 98 MiB of buffers,
# 49 MiB of cache and 1.3 GiB free gets "Buffers 146.5M" and "Caches 1.4G": a page cache that is not there, the larger the emptier the machine, and "Free" and "Caches" tell
# the same memory twice. The report saves meminfo beside it, and takes Dirty from there.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download percona-toolkit=3.2.1-1 procps=2:4.0.2-3 libproc2-0=2:4.0.2-3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 1400000 MemAvailable: 1450000 Buffers: 100000 Cached: 50000 SwapCached: 0 SwapTotal: 0 SwapFree: 0 Dirty: 1000 Shmem: 0 SReclaimable: 0 >meminfo
unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
  export LC_ALL=C PATH=$PWD/usr/bin:$PATH LD_LIBRARY_PATH=$PWD/usr/lib/x86_64-linux-gnu
  timeout 60 bash usr/bin/pt-summary --sleep 1' 2>/dev/null | sed -n '/^# Memory #/,/Dirty/p' | tee seen
grep -qE '^ +Buffers \| 146.5M$' seen || { echo "CHANGED: Buffers are not buff/cache"; exit 1; }
grep -qE '^ +Caches \| 1.4G$' seen || { echo "CHANGED: Caches are not what is available"; exit 1; }
