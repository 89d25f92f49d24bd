#!/usr/bin/env bash
# Microsoft.Extensions.Diagnostics.ResourceMonitoring 10.11.0 (NuGet) on Linux: dotnet.process.memory.virtual.utilization is neither of the process nor of virtual memory.
#
# Guess before the run: resident or virtual size of the process by what the container may use; other processes of the container and page cache leave it alone.
# Seen: it is the same number as container.memory.limit.utilization: the cgroup's usage less inactive_file, by its limit. With a process of 150 MiB beside it a .NET program of some 20 MiB
# is at 0.4 of 400 MiB; after it ended, a file of 150 MiB that somebody read three times (so that its pages are active) gives 0.4 again. Nothing that
# happens in the process moves it much, and a dump taken at its alarm shows a small heap. Needs root and cgroup v1's memory controller.
set -euo pipefail
dir=$(mktemp -d)
group=/sys/fs/cgroup/memory/findings-resources-$$
trap 'rmdir "$group" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >probe.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework></PropertyGroup>
  <ItemGroup><FrameworkReference Include="Microsoft.AspNetCore.App" /><PackageReference Include="Microsoft.Extensions.Diagnostics.ResourceMonitoring" Version="10.11.0" /></ItemGroup>
</Project>
XML
cat >Program.cs <<'CODE'
using System;
using System.Collections.Generic;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.ResourceMonitoring;

var seen = new SortedDictionary<string, double>();
using var listener = new MeterListener { InstrumentPublished = (meter, to) => to.EnableMeasurementEvents(meter) };
listener.SetMeasurementEventCallback<double>((meter, value, _, _) => seen[meter.Name] = value);
listener.Start();
using ServiceProvider services = new ServiceCollection().AddLogging().AddMetrics().AddResourceMonitoring().BuildServiceProvider();
services.GetRequiredService<IResourceMonitor>();
System.Threading.Thread.Sleep(6000);
listener.RecordObservableInstruments();
foreach (string name in new[] { "container.memory.limit.utilization", "dotnet.process.memory.virtual.utilization" })
{
    Console.WriteLine($"{args[0]}: {name} {seen[name]:0.00}");
}
CODE
dotnet build -c Release -o out >build.log || { cat build.log; exit 1; }
head -c 150M /dev/urandom >file
sync file
dd if=file iflag=nocache count=0 2>/dev/null # drops the file from the cache, so that the group below is charged for it
mkdir "$group"
echo 400M >"$group/memory.limit_in_bytes"
cat >inside.sh <<INNER
echo \$\$ >"$group/cgroup.procs"
mount --bind "$group" /sys/fs/cgroup/memory
dotnet out/probe.dll alone
python3 -c 'import time; held = bytearray(150 << 20); held[::4096] = b"x" * len(held[::4096]); time.sleep(600)' &
sleep 3
dotnet out/probe.dll neighbour
kill %1
wait
for _ in 1 2 3; do cat file >/dev/null; done
dotnet out/probe.dll cache
INNER
unshare --mount bash inside.sh 2>/dev/null | tee seen
of() { awk -v run="$1:" -v name="$2" '$1 == run && $2 == name { print int($3 * 100) }' seen; }
for run in alone neighbour cache; do
  process=$(of $run dotnet.process.memory.virtual.utilization)
  [ "$process" = "$(of $run container.memory.limit.utilization)" ] || { echo "CHANGED: $run: not the container's figure"; exit 1; }
  case $run in alone) (( process < 15 )) ;; *) (( process > 35 )) ;; esac || { echo "CHANGED: $run: $process %"; exit 1; }
done
