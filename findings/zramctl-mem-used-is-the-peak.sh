#!/usr/bin/env bash
# util-linux 2.38.1 (Debian 12): MEM-USED of zramctl is the most memory that the device ever took, and MIGRATED counts pages in bytes.
#
# Guess before the run: MEM-USED is the third figure of mm_stat (mem_used_total, 25165824 here), TOTAL something larger; MIGRATED is a plain number.
# Seen: TOTAL is mem_used_total and MEM-USED is mem_used_max, the fifth figure, which never falls but by a write to it or a reset: after a peak the column stays there with the device
# empty. --help tells it as what the device takes for its compressed data, and says nothing of a maximum. MIGRATED is the seventh figure (pages_compacted, 99 pages given back by
# compaction), and gets the unit of a size: 99B. The kernel's columns of huge pages (eighth and ninth figure) are not shown. Needs the zram module.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download util-linux=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
[ -d /sys/block/zram0 ] || modprobe zram
mkdir zram0
cat >inside.sh <<'INNER'
device=$(readlink -f /sys/block/zram0)
cp "$device/dev" "$device/uevent" zram0/
echo 1073741824 >zram0/disksize
echo 1 >zram0/initstate
echo 'lzo lzo-rle [zstd]' >zram0/comp_algorithm
echo '104857600  20971520  25165824        0 31457280     1234       99       17        3' >zram0/mm_stat
mount --bind zram0 "$device"
LC_ALL=C LD_LIBRARY_PATH=$(echo usr/lib/*-linux-gnu):$(echo lib/*-linux-gnu) ./sbin/zramctl --output NAME,DATA,COMPR,TOTAL,MEM-USED,MIGRATED
INNER
unshare --map-root-user --mount bash inside.sh | tee seen
grep -qE '^/dev/zram0 +100M +20M +24M +30M +99B *$' seen || { echo "CHANGED: the columns"; exit 1; }
