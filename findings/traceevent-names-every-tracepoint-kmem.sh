#!/usr/bin/env bash
# Microsoft.Diagnostics.Tracing.TraceEvent 4.0.0 (NuGet), LinuxPerfScriptEventParser on `perf script` text of kmem tracepoints.
#
# Guess before the run: EventName "kmem:mm_page_alloc", EventProperty the fields; an event without the CPU column (perf script -F comm,tid,time,event,trace)
# either parsed or an error.
# Seen: EventName is "kmem" for allocations and frees alike (the rest of the name opens EventProperty), Kind is Cpu, so that a stack source built on it
# counts page frees as CPU samples. At the first event without a CPU column the sequence ends, with no error: 2 of 4 events here. A task whose name ends
# in a word that is a number ("tokio runtime 2") gets a blank more at its end: it is another command than the same one elsewhere.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >probe.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework></PropertyGroup>
  <ItemGroup><PackageReference Include="Microsoft.Diagnostics.Tracing.TraceEvent" Version="4.0.0" /></ItemGroup>
</Project>
XML
cat >trace.txt <<'TEXT'
bash  1201 [000]   151.000001: kmem:mm_page_alloc: page=0x1b1f7d pfn=0x1b1f7d order=0 migratetype=0 gfp_flags=GFP_KERNEL

tokio runtime 2  99 [001]   151.000002: kmem:mm_page_free: page=0x1b1f7d pfn=0x1b1f7d order=0

bash  1201   151.000003: kmem:mm_page_alloc: page=0x1b1f7d pfn=0x1b1f7d order=0 migratetype=0 gfp_flags=GFP_KERNEL

bash  1201 [000]   151.000004: kmem:mm_page_free: page=0x1b1f7d pfn=0x1b1f7d order=0

TEXT
cat >Program.cs <<'CODE'
using Microsoft.Diagnostics.Tracing.StackSources;

foreach (LinuxEvent seen in new LinuxPerfScriptEventParser().ParseSkippingPreamble(System.IO.File.OpenRead("trace.txt")))
{
    System.Console.WriteLine($"{seen.Kind} '{seen.Command}' {seen.EventName} {seen.EventProperty[..12]}");
}
CODE
dotnet run -c Release 2>/dev/null | tee seen
diff - seen <<'TEXT' || { echo "CHANGED"; exit 1; }
Cpu 'bash' kmem mm_page_allo
Cpu 'tokio runtime 2 ' kmem mm_page_free
TEXT
