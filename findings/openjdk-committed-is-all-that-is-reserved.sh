#!/usr/bin/env bash
# OpenJDK 17.0.21.1 (Debian 12): CommittedVirtualMemorySize of the operating system's MXBean is all of the address space, and FreeMemorySize leaves page cache out.
#
# Guess before the run: what the JVM has committed, some hundred MiB whatever -Xmx says ("virtual memory that is guaranteed to be available", and -Xmx is only reserved); MemAvailable.
# Seen: VmSize: 11008 MiB with -Xmx8g and 2577 with -Xmx64m, where heap and metaspace have 72 committed and VmData is about 150. What the JVM calls reserved everywhere else is
# "committed" here, so the figure moves with an option and not with the program. FreeMemorySize is MemFree: page cache that can be had at once is not free (Node.js and .NET:
# findings/runtimes-free-memory-of-a-full-cache.sh).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download openjdk-17-jre-headless=17.0.21.1+2-1~deb12u1 libecj-java >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
java=$(echo "$dir"/usr/lib/jvm/java-17-openjdk-*/bin/java)
mkdir source
cat >source/Probe.java <<'CODE'
import java.lang.management.ManagementFactory;
import java.nio.file.*;

public class Probe {
    static long kilobytes(String file, String row) throws Exception {
        for (String line : Files.readAllLines(Path.of(file)))
            if (line.startsWith(row + ":")) return Long.parseLong(line.replaceAll("\\D", ""));
        return -1;
    }

    public static void main(String[] args) throws Exception {
        var os = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        var memory = ManagementFactory.getMemoryMXBean();
        System.out.println((os.getCommittedVirtualMemorySize() >> 20) + " " + (kilobytes("/proc/self/status", "VmSize") >> 10) + " " + (kilobytes("/proc/self/status", "VmData") >> 10)
            + " " + ((memory.getHeapMemoryUsage().getCommitted() + memory.getNonHeapMemoryUsage().getCommitted()) >> 20)
            + " " + (os.getFreeMemorySize() >> 20) + " " + (kilobytes("/proc/meminfo", "MemFree") >> 10) + " " + (kilobytes("/proc/meminfo", "MemAvailable") >> 10));
    }
}
CODE
"$java" -cp "$(echo usr/share/java/ecj*.jar | cut -d' ' -f1)" org.eclipse.jdt.internal.compiler.batch.Main -11 -d . source/Probe.java
dd if=/dev/zero of=file bs=1M count=1024 status=none
cat file >/dev/null
echo 'committed VmSize VmData heap+metaspace free MemFree MemAvailable'
"$java" -Xms64m -Xmx64m -cp . Probe | tee small
"$java" -Xms64m -Xmx8g -cp . Probe | tee large
read -r committed size data own free _ available <large
test $((committed - size)) -ge -64 && test $((committed - size)) -le 64 || { echo "CHANGED: $committed committed of $size"; exit 1; }
test "$committed" -gt 8192 && test "$data" -lt 2048 && test "$own" -lt 512 && test "$(cut -d' ' -f1 small)" -lt 4096 || { echo "CHANGED: committed $committed"; exit 1; }
test $((available - free)) -gt 800 || { echo "CHANGED: free $free of $available available"; exit 1; }
