#!/usr/bin/env bash
# Ganglia's gmond 3.7.2 (Debian 12): the metric mem_shared is 0 on every Linux since 2.6, and mem_cached leaves out what the kernel's slabs hold.
#
# Guess before the run: mem_shared is Shmem, 200000 kB here.
# Seen: 0. It looks for the row MemShared, which ended with 2.4; Shmem, which free(1) calls shared, has been there since 2.6.32. No error and no missing metric: it is sent
# as 0 KB. mem_cached is Cached with the pages of tmpfs in it (which only swap can free) and without SReclaimable, so that "cached" of Ganglia and buff/cache of free(1)
# differ both ways on one machine.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
version=3.7.2-6+b2
apt-get download "ganglia-monitor=$version" "libganglia1=$version" libapr1 libconfuse2 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
printf '%-16s%8d kB\n' MemTotal: 4015108 MemFree: 400000 MemAvailable: 1500000 Buffers: 100000 Cached: 1400000 SwapCached: 0 SwapTotal: 0 SwapFree: 0 Shmem: 200000 Slab: 500000 SReclaimable: 150000 >meminfo
port=28649
cat >gmond.conf <<CONF
globals { daemonize = no setuid = no mute = no deaf = no send_metadata_interval = 1 }
cluster { name = "one" }
udp_send_channel { host = 127.0.0.1 port = $port }
udp_recv_channel { port = $port bind = 127.0.0.1 }
tcp_accept_channel { port = $port bind = 127.0.0.1 }
modules { module { name = "core_metrics" } module { name = "mem_module" path = "$dir/usr/lib/x86_64-linux-gnu/ganglia/modmem.so" } }
collection_group { collect_every = 1 time_threshold = 1 metric { name = "mem_total" } metric { name = "mem_free" } metric { name = "mem_shared" } metric { name = "mem_buffers" } metric { name = "mem_cached" } }
CONF
LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu" unshare --map-root-user --mount bash -c 'mount --bind meminfo /proc/meminfo
  exec timeout 60 ./usr/sbin/gmond -c gmond.conf' >log 2>&1 &
for _ in $(seq 60); do
  timeout 3 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat <&3" >xml 2>/dev/null || true
  [ "$(grep -c 'METRIC NAME="mem_' xml)" = 5 ] && break
  sleep 0.5
done
grep -o 'METRIC NAME="mem_[a-z]*" VAL="[0-9]*".* UNITS="KB"' xml | sed 's/TYPE[^U]*//' | sort | tee seen
grep -q '"mem_shared" VAL="0"' seen || { echo "CHANGED: mem_shared"; exit 1; }
grep -q '"mem_cached" VAL="1400000"' seen || { echo "CHANGED: mem_cached"; exit 1; }
