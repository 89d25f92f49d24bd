#!/usr/bin/env bash
# perf 6.1.192 (Debian 12): `perf kmem stat --page` prints movable pages under "Reclaimable" and reclaimable ones under "Movable".
#
# Guess before the run: the columns are the kernel's migratetype= numbers, in the kernel's names (0 unmovable, 1 movable, 2 reclaimable).
# Seen (on a 6.18 kernel, which records migratetype=1 for GFP_HIGHUSER_MOVABLE): the table has the names of an order that kernels gave up in 4.x, so that a
# machine faulting in anonymous memory seems to fill with reclaimable slab. The "Reserved" and "CMA/Isolated" columns are of that time, too. The events
# printed by `perf script` from the same file have the right numbers. Needs root, as it records a short run of its own.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=6.1.192-3
apt-get download "linux-perf=$version" libbabeltrace1 libopencsd1 libtraceevent1 libdw1 libunwind8 libpython3.11 libperl5.36 libslang2 libnuma1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu"
cat >inside.sh <<'INNER'
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
./usr/bin/perf kmem --page record -o data head -c 100000000 /dev/zero >/dev/null 2>record.log
INNER
unshare --mount bash inside.sh
./usr/bin/perf script -i data 2>/dev/null | awk '/kmem:mm_page_alloc:/ && / order=0 / { for (i = 1; i <= NF; i++) if (sub(/^migratetype=/, "", $i)) n[$i]++ }
  END { printf "recorded: %d unmovable (0), %d movable (1), %d reclaimable (2)\n", n[0], n[1], n[2] }' | tee recorded
./usr/bin/perf kmem -i data --page stat 2>/dev/null | awk '/^Order / || /^ +0 / { gsub(/ \. /, " 0 "); print }' | tee table
read -r movable reclaimable < <(sed 's/.*, \([0-9]*\) movable (1), \([0-9]*\) reclaimable.*/\1 \2/' recorded)
awk -v movable="$movable" -v reclaimable="$reclaimable" '$1 == "0" { exit !($3 == movable && $4 == reclaimable && movable != reclaimable) }' table ||
  { echo "CHANGED: the columns have the kernel's names"; exit 1; }
