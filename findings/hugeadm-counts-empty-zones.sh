#!/usr/bin/env bash
# hugeadm 2.23 (Debian 12, libhugetlbfs): the min_free_kbytes it recommends counts zones that have no memory.
#
# Guess before the run: the figure that the kernel's own khugepaged sets, which counts zones with pages in them.
# Seen: a 2 GiB machine has memory in DMA and DMA32 only; its 7.3 kernel set 45056 kB (two zones, 11 page blocks each) and prints Normal, Movable
# and Device with "present 0". hugeadm counts the headings, says 112640 (five zones), and would keep 66 MiB more from everybody with
# --set-recommended-min_free_kbytes. With the empty zones cut from the text it says 45056.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=2.23-5
apt-get download "libhugetlbfs-bin=$version" "libhugetlbfs0=$version" >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
zone() { printf 'Node 0, zone %8s\n  pages free     %d\n        min      %d\n        low      %d\n        high     %d\n        spanned  %d\n        present  %d\n        managed  %d\n' "$@"; }
full() { zone DMA 3776 86 107 128 4095 3998 3840; zone DMA32 487163 11177 13971 16765 520160 520160 499821; }
full >two
{ full; for name in Normal Movable Device; do zone $name 0 0 0 0 0 0 0; done; } >five
cat >inside.sh <<'INNER'
echo 1000 >min_free && mount --bind min_free /proc/sys/vm/min_free_kbytes
export LD_LIBRARY_PATH=usr/lib/x86_64-linux-gnu
for zones in two five; do
  cat $zones >zoneinfo && mount --bind zoneinfo /proc/zoneinfo
  printf '%s zones: ' $zones
  ./usr/bin/hugeadm --explain 2>/dev/null | grep -o 'value of [0-9]*$'
  umount /proc/zoneinfo
done
INNER
unshare --map-root-user --mount bash inside.sh | tee seen
grep -q 'two zones: value of 45056' seen && grep -q 'five zones: value of 112640' seen || { echo "CHANGED"; exit 1; }
