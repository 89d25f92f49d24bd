#!/usr/bin/env bash
# numactl 2.0.16 (Debian 12): numastat -p takes every huge page of a process for one of the default size.
#
# Guess before the run: three pages of 1 GiB and five of 2 MiB are 3082 MB, as numa_maps gives the size of each mapping (kernelpagesize_kB).
# Seen: 16.00 MB: eight pages of 2 MiB. N0= counts pages of the mapping's own size; numastat multiplies with Hugepagesize of meminfo. A database or a virtual machine on gigantic pages is 1/512 of
# itself, and a mapping of arm64's 64 kB huge pages would be 32 times itself. (findings/numastat-unknown-rows-among-the-table.sh is about its -m.)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download numactl=2.0.16-1 libnuma1=2.0.16-1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
cat >numa_maps <<'MAPS'
7f0000000000 default file=/anon_hugepage\040(deleted) huge anon=3 dirty=3 N0=3 kernelpagesize_kB=1048576
7f1000000000 default file=/anon_hugepage\040(deleted) huge anon=5 dirty=5 N0=5 kernelpagesize_kB=2048
7f2000000000 default anon=512 dirty=512 N0=512 kernelpagesize_kB=4
MAPS
cat >inside.sh <<'INNER'
mount --bind numa_maps /proc/$$/numa_maps
LC_ALL=C LD_LIBRARY_PATH=$PWD/usr/lib/$(uname -m)-linux-gnu ./usr/bin/numastat -p $$
INNER
unshare --map-root-user --mount bash inside.sh | tee seen
grep -qE '^Huge +16.00' seen || { echo "CHANGED: the huge pages have their own sizes"; exit 1; }
grep -qE '^Private +2.00' seen || { echo "CHANGED: small pages"; exit 1; }
