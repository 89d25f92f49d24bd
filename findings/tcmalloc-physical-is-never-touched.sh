#!/usr/bin/env bash
# gperftools 2.10 (Debian 12, libtcmalloc): "Actual memory used (physical + swap)" counts memory that was never touched, and has no swap in it.
#
# Guess before the run: VmRSS + VmSwap, as the words say: a few MiB for a program that asks for 256 MiB and writes the first byte.
# Seen: 257 MiB used "physical + swap" at a VmRSS of 6 MiB. The line is what the application asked for, the free lists and the metadata: all of the address space that tcmalloc took less what it gave back
# itself, whether a page is behind it or not. The kernel is not asked. Who sizes a container by this line, or compares a simulated machine's frames with it, takes what is reserved for what is used.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download libtcmalloc-minimal4=2.10-1 >/dev/null 2>&1
dpkg -x libtcmalloc-minimal4_*.deb .
cat >program.c <<'CODE'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *area = malloc(256 << 20), line[256];
    area[0] = 1;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "VmSwap", 6) == 0) printf("%s", line);
    fclose(status);
    return 0;
}
CODE
gcc -O1 -fno-builtin -o program program.c
LD_PRELOAD=$(echo "$dir"/usr/lib/*/libtcmalloc_minimal.so.4) MALLOCSTATS=1 ./program 2>&1 | grep -E '^Vm|physical|Virtual' | tee seen
rss=$(awk '/VmRSS/ { print $2 }' seen)
used=$(awk '/physical \+ swap/ { print $3 }' seen)
test "$used" -ge 268435456 && test "$rss" -lt 20000 || { echo "CHANGED: $used bytes used, $rss kB resident"; exit 1; }
