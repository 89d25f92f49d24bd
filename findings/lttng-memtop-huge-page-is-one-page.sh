#!/usr/bin/env bash
# lttnganalyses 0.6.1 (Debian 12): lttng-memtop counts the events of kmem_mm_page_alloc and calls them pages; the order is not looked at.
#
# Guess before the run: ten allocations of order 9 and 24 of order 0 are 10 x 512 + 24 = 5144 pages allocated.
# Seen: "34 pages allocated", and one freed huge page is one page freed. A process that faults in huge pages ranks below one that forks a shell; the io analyses
# of the package, which give "pages allocated" for each request, count the same way. A failed allocation (an event with a null page) is a page, too. The trace below is
# in the format and with the events and fields that LTTng's kernel tracer writes, and reads well with babeltrace.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download python3-lttnganalyses=0.6.1-3 babeltrace=1.5.11-1+b2 libbabeltrace1=1.5.11-1+b2 python3-babeltrace=1.5.11-1+b2 python3-pyparsing libglib2.0-0 libpopt0 libuuid1 libdw1 libelf1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
cat >make.py <<'CODE'
import os, struct

os.makedirs("trace/kernel")
events = {
    "sched_switch": "text _prev_comm[16]; int32 _prev_tid; int32 _prev_prio; int64 _prev_state; text _next_comm[16]; int32 _next_tid; int32 _next_prio;",
    "kmem_mm_page_alloc": "uint64 _page; uint64 _pfn; uint32 _order; uint32 _gfp_flags; int32 _migratetype;",
    "kmem_mm_page_free": "uint64 _page; uint64 _pfn; uint32 _order;",
}
number = lambda size, more="": "integer { size = %d; align = 8; signed = %s; byte_order = le; %s}" % (abs(size), "true" if size < 0 else "false", more)
time = number(64, "map = clock.monotonic.value; ")
metadata = "/* CTF 1.8 */\n" + "".join("typealias %s := %s;\n" % (number(size), name) for name, size in (("uint16", 16), ("uint32", 32), ("uint64", 64), ("int32", -32), ("int64", -64)))
metadata += """typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; base = 10; } := text;
trace { major = 1; minor = 8; byte_order = le; packet.header := struct { uint32 magic; uint32 stream_id; }; };
env { hostname = "one"; domain = "kernel"; sysname = "Linux"; kernel_release = "6.1.0"; kernel_version = "#1"; tracer_name = "lttng-modules"; tracer_major = 2; tracer_minor = 13; tracer_patchlevel = 0; };
clock { name = monotonic; freq = 1000000000; offset = 1600000000000000000; };
stream { id = 0; event.header := struct { uint16 id; TIME timestamp; };
packet.context := struct { TIME timestamp_begin; TIME timestamp_end; uint64 content_size; uint64 packet_size; uint64 events_discarded; uint32 cpu_id; }; };
""".replace("TIME", time)
for index, (name, fields) in enumerate(events.items()):
    metadata += 'event { name = "%s"; id = %d; stream_id = 0; fields := struct { %s }; };\n' % (name, index, fields)
open("trace/kernel/metadata", "w").write(metadata)
switch = lambda old, tid, new, next: (0, struct.pack("<16siiq16sii", old, tid, 20, 0, new, next, 20))
records = [switch(b"swapper/0", 0, b"hog", 1201)]
for index, order in enumerate([9] * 10 + [0] * 24):
    pfn = 0x10000 + 512 * index
    records.append((1, struct.pack("<QQIIi", 0xFFFFEA0000000000 + 64 * pfn, pfn, order, 0xDC0, 1)))
records.append((2, struct.pack("<QQI", 0xFFFFEA0000400000, 0x10000, 9)))
records.append(switch(b"hog", 1201, b"swapper/0", 0))
body = b"".join(struct.pack("<HQ", kind, 2000 + 1000 * index) + fields for index, (kind, fields) in enumerate(records))
bits = 8 * (8 + 44 + len(body))
open("trace/kernel/channel0_0", "wb").write(struct.pack("<IIQQQQQI", 0xC1FC1FC1, 0, 1000, 2000 + 1000 * len(records), bits, bits, 0, 0) + body)
CODE
python3 make.py
export PATH="$dir/usr/bin:$PATH" LD_LIBRARY_PATH="$(echo "$dir"/usr/lib/*-linux-gnu):$(echo "$dir"/lib/*-linux-gnu)" PYTHONPATH="$dir/usr/lib/python3/dist-packages"
babeltrace trace | awk '{ for (i = 1; i < NF; i++) if ($i == "order") n += 2 ^ ($(i + 2) + 0) } / kmem_mm_page_free/ { n -= 2 * 512 } END { print n, "pages are allocated less 512 freed, by the events" }' | tee events
python3 usr/bin/lttng-memtop --no-progress trace | sed -n '/^Total/,$p' | tee seen
grep -q '^4632 ' events || { echo "the trace is not what it should be"; exit 1; }
grep -qx -- '- 34 pages allocated' seen && grep -qx -- '- 1 pages freed' seen || { echo "CHANGED"; exit 1; }
