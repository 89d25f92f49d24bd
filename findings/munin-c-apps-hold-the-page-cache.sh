#!/usr/bin/env bash
# munin-plugins-c 0.0.13 (Debian 12), the C rewrite of Munin's own plugins: "memory" knows three rows, and calls the page cache and the slabs "apps".
#
# Guess before the run: the values of the Perl plugin of that name, which it replaces (symbolic links of the same name in /etc/munin/plugins).
# Seen: "apps" (explained as what programs use) is MemTotal - MemFree, 3615108 kB; the Perl plugin says 1535108 kB for the same file, and
# draws buffers, cached, shmem, slab, page_tables, swap_cache and mapped beside it. After the exchange a machine's applications grow by all
# of its cache at once.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download munin-plugins-c=0.0.13-1+b1 munin-plugins-core=2.0.73-1 munin-node=2.0.73-1 munin-common=2.0.73-1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
ln -s munin-plugins-c usr/lib/munin-c/plugins/memory
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 400000 MemAvailable: 1500000 Buffers: 100000 Cached: 1400000 SwapCached: 50000 SwapTotal: 1000000 \
  SwapFree: 600000 Mapped: 300000 Shmem: 200000 Slab: 500000 SReclaimable: 150000 SUnreclaim: 350000 PageTables: 30000 Percpu: 0 >meminfo
cat >inside.sh <<'INNER'
mount --bind meminfo /proc/meminfo
./usr/lib/munin-c/plugins/memory | sort >c
MUNIN_LIBDIR=$PWD/usr/share/munin perl -Iusr/share/perl5 usr/share/munin/plugins/memory 2>/dev/null | sort >perl
INNER
unshare --map-root-user --mount bash inside.sh
echo "C:    $(tr '\n' ' ' <c)"
echo "Perl: $(tr '\n' ' ' <perl)"
printf 'apps.value %d\nfree.value %d\nswap.value %d\n' $((3615108 * 1024)) $((400000 * 1024)) $((400000 * 1024)) | diff - c || { echo "CHANGED: the C plugin has other values"; exit 1; }
grep -q "^apps.value $((1535108 * 1024))$" perl && grep -q '^cached.value ' perl || { echo "CHANGED: the Perl plugin has other values"; exit 1; }
