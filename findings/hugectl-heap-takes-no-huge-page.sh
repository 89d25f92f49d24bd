#!/usr/bin/env bash
# libhugetlbfs 2.23 (Debian 12, hugectl --heap and HUGETLB_MORECORE=yes) beside glibc 2.36: the heap is not in huge pages, and nobody says so.
#
# Guess before the run: with 40 free pages of 2 MiB in the pool a program that allocates 32 MiB has 16 of them, as the manual says; if the library could not, a warning (it prints errors and warnings
# unless told otherwise).
# Seen: none is taken and nothing is printed. The library put its own allocator in by glibc's hook __morecore, which went with glibc 2.34 (2021); it knows that at run time, and says so only
# at HUGETLB_VERBOSE=99, as an INFO. The glibc tunable that came in its stead (glibc.malloc.hugetlb=2, since 2.35) takes 16 pages for the same program. Who reproduces a machine with
# "heap in huge pages" from its start script has a pool that stands by unused: HugePages_Free does not move. Needs root, for the pool, which is put back.
set -euo pipefail
dir=$(mktemp -d)
pool=/proc/sys/vm/nr_hugepages
before=$(cat $pool)
trap 'echo "$before" >$pool; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download libhugetlbfs-bin=2.23-5 libhugetlbfs0=2.23-5 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
# The name that hugectl preloads is the development package's.
ln -s libhugetlbfs.so.0 usr/lib/x86_64-linux-gnu/libhugetlbfs.so
ldd --version | head -n 1
cat >allocate.py <<'EOF'
import ctypes
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
c.malloc.argtypes = [ctypes.c_size_t]
ctypes.memset(c.malloc(32 << 20), 1, 32 << 20)
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps") if line.startswith("Private_Hugetlb:")) // 2048)
EOF
echo $((before + 40)) >$pool
cat >inside.sh <<'INNER'
mkdir -p mounted
mount -t hugetlbfs none mounted
export LD_LIBRARY_PATH=usr/lib/x86_64-linux-gnu
hugectl=$(usr/bin/hugectl --heap /usr/bin/python3 allocate.py 2>said)
echo "hugectl --heap: $hugectl huge pages; said: '$(cat said)'"
tunable=$(GLIBC_TUNABLES=glibc.malloc.hugetlb=2 /usr/bin/python3 allocate.py)
echo "glibc.malloc.hugetlb=2: $tunable huge pages"
[ "$hugectl" = 0 ] && [ ! -s said ] || { echo "CHANGED: hugectl gives huge pages, or says that it does not"; exit 1; }
(( tunable >= 16 )) || { echo "CHANGED: the tunable gives no huge pages"; exit 1; }
INNER
unshare --mount bash inside.sh
