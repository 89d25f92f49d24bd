#!/usr/bin/env bash
# trace-cmd 3.1.6 with libtraceevent 1.7.1 (Debian 12): page= of the kmem events is no address of a struct page, and age= of writeback is thousands of years.
#
# Guess before the run: page= is the address that folio= of pagemap:mm_lru_insertion has for the same pfn, as in the kernel's own text with no_hash_pointers.
# Seen (on a 6.18 kernel): page=0x28052a pfn=0x28052a beside folio=0xffffea000a014a80 pfn=0x28052a. The record holds the pfn alone; the print format computes the
# page from vmemmap_base, a variable of the kernel that the library has not, and prints what is left (of 6.1: a symbol's address and an offset). perf script, of the
# same library, does so too. Who joins events by page= joins nothing. age= of writeback_single_inode is (jiffies - dirtied_when) / HZ; jiffies is unknown, too, taken for 0, and the
# difference wraps: 73786976277657428 s for a page dirtied a second ago. No warning for either. Needs root and tracefs.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download trace-cmd=3.1.6-1 libtracefs1=1.6.4-1 libtraceevent1=1:1.7.1-1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
export LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu"
cat >inside.sh <<'INNER'
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
trace=/sys/kernel/tracing/instances/findings-$$
mkdir $trace
events="kmem/mm_page_free pagemap/mm_lru_insertion writeback/writeback_single_inode"
echo 8000 >$trace/buffer_size_kb
for event in $events; do echo 1 >$trace/events/$event/enable; done
for _ in 1 2 3; do head -c 3000000 /dev/zero >file; sync file; rm file; done
for event in $events; do echo 0 >$trace/events/$event/enable; done
./usr/bin/trace-cmd extract -B findings-$$ -o trace.dat >/dev/null 2>&1
rmdir $trace 2>/dev/null || true
INNER
unshare --mount bash inside.sh
./usr/bin/trace-cmd report -i trace.dat 2>errors >report || true
awk 'match($0, /folio=0x[0-9a-f]+ pfn=0x[0-9a-f]+/) { split(substr($0, RSTART, RLENGTH), f, /[= ]/); folio[f[4]] = f[2] }
  match($0, /mm_page_free:.* page=0x[0-9a-f]+ pfn=0x[0-9a-f]+ order=0/) { sub(/.*mm_page_free: +/, ""); split($0, f, /[= ]/); if (f[4] in folio) { n++; if (f[2] != folio[f[4]]) other++; line = $0 "   folio=" folio[f[4]] } }
  END { print n + 0, "pages freed whose folio is known,", other + 0, "with another page=, for instance", line }' report | tee joined
read -r pages _ < joined
others=$(sed 's/.*known, \([0-9]*\) .*/\1/' joined)
(( pages > 0 && others == pages )) || { echo "CHANGED: page= is the address of the page"; exit 1; }
age=$(sed -n 's/.*writeback_single_inode:.* age=\([0-9-]*\) .*/\1/p' report | sort -n | tail -n 1)
echo "largest age: $age s"
(( age > 1000000000000 )) || { echo "CHANGED: the age is one"; exit 1; }
