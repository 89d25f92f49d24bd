#!/usr/bin/env bash
# prometheus-node-exporter 1.5.0 (Debian 12): collector.zoneinfo gives the counters of a whole node to its first zone.
#
# Guess before the run: the block "per-node stats" of /proc/zoneinfo comes out with the label node alone, or not at all.
# Seen: the block stands under the heading of the node's first zone, and the parser keeps it there: on any machine zone="DMA" (15 MiB)
# holds all of the node's LRU, file and mapped pages, and no other zone has any. Who charts "which zone fills up" from it sees DMA full of anonymous pages that it cannot hold.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"; kill %1 2>/dev/null || true' EXIT
cd "$dir"
apt-get download prometheus-node-exporter=1.5.0-1+b6 >/dev/null 2>&1
dpkg -x prometheus-node-exporter_*.deb .
mkdir proc
cat >proc/zoneinfo <<'ZONES'
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 0
      nr_active_anon 1464000
      nr_mapped    55800
      nr_file_pages 677000
  pages free     3776
        boost    0
        min      86
        low      107
        high     128
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 1952, 1952, 1952)
      nr_free_pages 3776
  pagesets
    cpu: 0
              count: 0
              high:  0
              batch: 1
  vm stats threshold: 4
  node_unreclaimable:  0
  start_pfn:           1
Node 0, zone    DMA32
  pages free     487163
        boost    0
        min      11177
        low      13971
        high     16765
        spanned  1044480
        present  520158
        managed  499821
        cma      0
        protection: (0, 0, 0, 0)
      nr_free_pages 487163
  pagesets
    cpu: 0
              count: 0
              high:  6985
              batch: 63
  vm stats threshold: 20
  node_unreclaimable:  0
  start_pfn:           4096
ZONES
port=19137
./usr/bin/prometheus-node-exporter --path.procfs="$dir/proc" --collector.disable-defaults --collector.zoneinfo --web.listen-address=127.0.0.1:$port 2>log &
for _ in $(seq 50); do curl -sf "127.0.0.1:$port/metrics" >metrics && break; sleep 0.2; done
grep '^node_zoneinfo_nr_' metrics
grep -q 'nr_active_anon_pages{node="0",zone="DMA"} 1.464e+06' metrics || { echo "CHANGED: the node's anonymous pages are not in DMA any more"; exit 1; }
! grep -q 'nr_active_anon_pages{[^}]*DMA32' metrics || { echo "CHANGED: DMA32 has LRU pages"; exit 1; }
