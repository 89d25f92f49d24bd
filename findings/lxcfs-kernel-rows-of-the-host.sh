#!/usr/bin/env bash
# lxcfs 5.0.3 (Debian 12): the meminfo of a container of 100 MiB says 150000 kB are KReclaimable, and that a full tmpfs is available.
#
# Guess before the run: rows that lxcfs works out are the container's, rows that it cannot know are 0 (as Slab and Mapped are), MemAvailable leaves tmpfs out as the kernel's does.
# Seen: KReclaimable, KernelStack, PageTables and Zswap are passed through, so that more is reclaimable than MemTotal, while Slab and SReclaimable beside it are 0.
# MemAvailable is the limit less what is used plus all of the cache: 30 MiB in a tmpfs (row Shmem) count as available, and the figure
# is the same with the tmpfs empty or full. An OOM daemon in the container that waits for MemAvailable to fall does not see tmpfs fill up. Needs root, FUSE and cgroup v1's memory controller.
set -euo pipefail
dir=$(mktemp -d)
group=/sys/fs/cgroup/memory/findings-lxcfs-$$
trap 'rmdir "$group" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download lxcfs=5.0.3-1+deb12u1 libfuse3-3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
mkdir fs "$group"
echo 100M >"$group/memory.limit_in_bytes"
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 400000 MemAvailable: 1500000 Buffers: 100000 Cached: 1400000 SwapCached: 50000 Active: 1500000 Inactive: 1200000 \
  SwapTotal: 1000000 SwapFree: 600000 Zswap: 50000 Zswapped: 200000 Dirty: 1000 AnonPages: 1300000 Mapped: 300000 Shmem: 200000 KReclaimable: 150000 Slab: 500000 SReclaimable: 150000 \
  SUnreclaim: 350000 KernelStack: 8000 PageTables: 30000 >meminfo
cat >inside.sh <<INNER
mount --bind meminfo /proc/meminfo
mkdir shm && mount -t tmpfs none shm
LD_LIBRARY_PATH=usr/lib/x86_64-linux-gnu:usr/lib/x86_64-linux-gnu/lxcfs:lib/x86_64-linux-gnu timeout 20 ./usr/bin/lxcfs -l -p "$dir/pid" "$dir/fs" >log 2>&1 &
for _ in \$(seq 50); do [ -e fs/proc/meminfo ] && break; sleep 0.1; done
(echo \$BASHPID >"$group/cgroup.procs"
 cat fs/proc/meminfo >empty
 head -c 30M /dev/zero >shm/file
 cat fs/proc/meminfo >full)
umount fs
wait
rm shm/file
INNER
unshare --mount bash inside.sh
kb() { awk -v row="$1:" '$1 == row { print $2 }' "$2"; }
for row in MemTotal MemFree MemAvailable Shmem Slab SReclaimable KReclaimable KernelStack PageTables Zswap; do printf '%-14s tmpfs empty: %7d kB   full: %7d kB\n' $row "$(kb $row empty)" "$(kb $row full)"; done
[ "$(kb MemTotal full)" = 102400 ] && [ "$(kb Shmem full)" -ge 30720 ] || { echo "CHANGED: not the container's figures"; exit 1; }
[ "$(kb KReclaimable full) $(kb SReclaimable full) $(kb Slab full) $(kb PageTables full) $(kb Zswap full)" = "150000 0 0 30000 50000" ] || { echo "CHANGED: rows of the kernel"; exit 1; }
(( $(kb MemAvailable empty) - $(kb MemAvailable full) < 4096 && $(kb MemFree empty) - $(kb MemFree full) > 28000 )) || { echo "CHANGED: tmpfs is not available"; exit 1; }
