#!/usr/bin/env bash
# smem 1.5 (Debian 12), system view (-w): what a program holds in hugetlb pages and in shared memory is "kernel dynamic memory".
#
# Guess before the run: with AnonPages 300000, Mapped 100000, Shmem 500000 and 400 of 500 huge pages of 2 MiB in use, userspace memory holds at least the first three, and the pool
# (1024000 kB) has a row of its own or is left out as memory that is set aside.
# Seen: userspace memory is AnonPages + Mapped, 400000 kB, whatever the pools and tmpfs hold; "kernel dynamic memory" is all that is left, 3200000 kB of 4000000, of which "cache" is
# Buffers + Cached (tmpfs and shared memory are in it, Mapped is not taken off) and "noncache" 1660000 kB: the huge pages, and all that slabs, stacks and tables take (320000 here).
# A database with its buffers in huge pages reads as a kernel that leaks. The parts add up to the total, so nothing looks amiss.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download smem=1.5-2 >/dev/null 2>&1
dpkg -x smem_*.deb .
cat >meminfo <<'EOF'
MemTotal:        4000000 kB
MemFree:          400000 kB
MemAvailable:    1300000 kB
Buffers:           40000 kB
Cached:          1500000 kB
SwapCached:            0 kB
Active:           900000 kB
Inactive:         900000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
AnonPages:        300000 kB
Mapped:           100000 kB
Shmem:            500000 kB
KReclaimable:     100000 kB
Slab:             300000 kB
SReclaimable:     100000 kB
SUnreclaim:       200000 kB
KernelStack:        8000 kB
PageTables:        12000 kB
HugePages_Total:     500
HugePages_Free:      100
HugePages_Rsvd:        0
HugePages_Surp:        0
Hugepagesize:       2048 kB
Hugetlb:         1024000 kB
EOF
unshare --mount bash -c 'mount --bind meminfo /proc/meminfo && python3 usr/bin/smem -w' | tr -s ' ' | tee seen
grep -q '^kernel dynamic memory 3200000 1540000 1660000' seen || { echo "CHANGED: kernel dynamic memory is not all the rest"; exit 1; }
grep -q '^userspace memory 400000 100000 300000' seen || { echo "CHANGED: userspace memory is not AnonPages + Mapped"; exit 1; }
