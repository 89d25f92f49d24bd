#!/usr/bin/env bash
# perf 6.1.192 (Debian 12): `perf data convert --to-json` of kmem events keeps neither the events' names nor any of their fields.
#
# Guess before the run: each sample has its event's name and the tracepoint's fields (pfn, order, gfp_flags) beside time and task, as --to-ctf has.
# Seen: timestamp, pid, tid, cpu, comm and a call chain. An allocation and the free of the same page are alike but for the time; pfn, order and migratetype are gone, and of the events
# the header has the command line alone. The exit code is 0 and the message counts the samples as converted. --to-ctf of the same file has all of it
# (but not comm). Needs root, as it records a short run of its own.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download linux-perf=6.1.192-3 libbabeltrace1 libopencsd1 libtraceevent1 libdw1 libunwind8 libpython3.11 libperl5.36 libslang2 libnuma1 babeltrace >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu"
cat >inside.sh <<'INNER'
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
./usr/bin/perf record -q -o data -e kmem:mm_page_alloc -e kmem:mm_page_free head -c 3000000 /dev/zero >/dev/null 2>record.log
INNER
unshare --mount bash inside.sh
recorded=$(./usr/bin/perf script -i data 2>/dev/null | grep -c 'kmem:mm_page_.* pfn=')
./usr/bin/perf data convert --to-json data.json -i data >/dev/null 2>&1
./usr/bin/perf data convert --to-ctf ctf -i data >/dev/null 2>&1
sed -n '/"samples"/,$p' data.json >samples.json
samples=$(grep -c '"timestamp":' samples.json)
echo "perf script: $recorded events; JSON: $samples samples with the keys $(grep -o '"[a-z_]*":' samples.json | sort -u | tr '\n' ' ')"
(( samples > 10 && samples == recorded )) || { echo "CHANGED: other events than samples"; exit 1; }
! grep -qE '"(pfn|order|migratetype|gfp_flags)"|mm_page_(alloc|free)' samples.json || { echo "CHANGED: names or fields are there"; exit 1; }
./usr/bin/babeltrace ctf >ctf.txt 2>/dev/null
awk '/kmem:mm_page_alloc:/ { print "CTF:", $0; exit }' ctf.txt
grep -q 'kmem:mm_page_alloc:.* pfn = 0x' ctf.txt || { echo "CHANGED: nothing of it in CTF either"; exit 1; }
