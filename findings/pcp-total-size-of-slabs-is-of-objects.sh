#!/usr/bin/env bash
# Performance Co-Pilot 6.0.3 (Debian 12), pmdalinux: mem.slabinfo.slabs.total_size is not the size of the slabs.
#
# Guess before the run: slabs x pages per slab x page size, as slabtop's CACHE SIZE: 1 x 8 x 4096 = 32768 for the first cache below, 2 x 4 x 4096 for the second.
# Seen: 17096 and 25486: the slabs' bytes times active objects / all objects. A cache of one live object in a thousand slabs counts as the
# object's share, so that the sum over all caches is far below Slab: of meminfo just when fragmentation of slabs is looked for. And
# mem.zoneinfo.nr_free_pages has no value although the row stands in zoneinfo; mem.zoneinfo.free has it, in kilobytes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=6.0.3-1.1
apt-get download "pcp=$version" "libpcp3=$version" "libpcp-pmda3=$version" "pcp-conf=$version" libpfm4 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
mkdir -p pmdas/linux run fake/proc
cp usr/lib/pcp/pmdas/linux/pmda_linux.so pmdas/linux/
for setting in PCP_PMDAS_DIR=pmdas PCP_BINADM_DIR=usr/lib/pcp/bin PCP_VAR_DIR=var/lib/pcp PCP_SHARE_DIR=usr/share/pcp PCP_TMP_DIR=run PCP_RUN_DIR=run PCP_LOG_DIR=run; do
  echo "${setting%=*}=$dir/${setting#*=}"
done >pcp.conf
cat >fake/proc/slabinfo <<'TEXT'
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
RAWv6                 12     23   1408   23    8 : tunables    0    0    0 : slabdata      1      1      0
mqueue_inode_cache     28     36    896   18    4 : tunables    0    0    0 : slabdata      2      2      0
TEXT
cp /proc/zoneinfo fake/proc/zoneinfo
export PCP_CONF="$dir/pcp.conf" LD_LIBRARY_PATH="$dir/usr/lib:$dir/usr/lib/x86_64-linux-gnu" LINUX_STATSPATH="$dir/fake"
./usr/bin/pminfo -L -K clear -K add,60,linux/pmda_linux.so,linux_init -n "$dir/usr/lib/pcp/pmns/root_linux" -f \
  mem.slabinfo.slabs.total_size mem.zoneinfo.nr_free_pages mem.zoneinfo.free 2>/dev/null >out || true
grep -A 2 total_size out
grep -q 'RAWv6.*value 17096$' out && grep -q 'mqueue_inode_cache.*value 25486$' out || { echo "CHANGED: total_size"; exit 1; }
grep -q 'nr_free_pages [0-9]' fake/proc/zoneinfo
grep -A 1 'zoneinfo.nr_free_pages' out | grep -q 'No value' || { echo "CHANGED: nr_free_pages"; exit 1; }
grep -A 2 'zoneinfo.free' out | grep -q 'value [0-9]' || { echo "CHANGED: free"; exit 1; }
