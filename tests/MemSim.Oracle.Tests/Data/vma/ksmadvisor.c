// Records what a real kernel's KSM advisor takes and chooses: writes to its files with their answers, and full scans with what they took and the pages_to_scan that came of it.
// cc -O1 -o ksmadvisor ksmadvisor.c && ./ksmadvisor WRITES SCANS SEED TRACING > ksmadvisor-6.18.txt
// (as root, on a machine where nobody else merges; TRACING is a directory of tracefs, best an instance of its own; ksmd is left stopped)
// Lines: "w FILE TEXT ERRNO | mode max_cpu min max target pages_to_scan run"; "s BEFORE SECONDS PAGES PERCENT": a scan that began with BEFORE pages to scan took SECONDS and PERCENT of a CPU, and PAGES are to be scanned from then on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static unsigned below(unsigned n) { return (unsigned)((next() >> 20) % n); }

static int put(const char *file, const char *t) {
    char path[128];
    snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", file);
    int fd = open(path, O_WRONLY), n = (int)strlen(t);
    if (fd < 0) return errno;
    int r = write(fd, t, (size_t)n) == n ? 0 : errno;
    close(fd);
    return r;
}
static char *get(const char *file) {
    static char t[8][64]; static int at;
    char path[128], *b = t[at++ & 7];
    snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", file);
    int fd = open(path, O_RDONLY), n = (int)read(fd, b, 63);
    close(fd);
    b[n > 0 ? n - 1 : 0] = 0;
    return b;
}
static void show(void) {
    char *m = get("advisor_mode");
    printf(" | %s %s %s %s %s %s\n", strchr(m, '[') == m ? "none" : "scan-time", get("advisor_max_cpu"), get("advisor_min_pages_to_scan"), get("advisor_max_pages_to_scan"), get("advisor_target_scan_time"), get("pages_to_scan"));
}
static void w(const char *file, const char *text) {
    int r = put(file, text);
    printf("w %s %s %d", file, *text ? text : "-", r);
    show();
}
static void wn(const char *file, unsigned long n) { char t[32]; snprintf(t, sizeof t, "%lu", n); w(file, t); }

int main(int argc, char **argv) {
    int writes = atoi(argv[1]), scans = atoi(argv[2]);
    state = strtoull(argv[3], 0, 0) * 0x9E3779B97F4A7C15ULL + 1;
    static const char *files[] = { "advisor_mode", "advisor_max_cpu", "advisor_min_pages_to_scan", "advisor_max_pages_to_scan", "advisor_target_scan_time", "pages_to_scan" };
    static const char *texts[] = { "none", "scan-time", "scan_time", "NONE", "0", "1", "-1", "70", "100", "101", "500", "4000", "30000", "4294967295", "4294967296", "18446744073709551615", "18446744073709551616", "0x10", "010", "+5", "x", "12x" };
    put("run", "2"); put("run", "0"); put("advisor_mode", "none");
    put("advisor_max_cpu", "70"); put("advisor_min_pages_to_scan", "500"); put("advisor_max_pages_to_scan", "30000"); put("advisor_target_scan_time", "200"); put("pages_to_scan", "100");
    for (int i = 0; i < writes; i++) {
        const char *file = files[below(6)];
        w(file, !strcmp(file, "advisor_mode") ? texts[below(below(3) ? 2 : 22)] : texts[below(22)]);
    }
    // Scans: pages with contents of their own, so that each costs something.
    char path[256];
    snprintf(path, sizeof path, "%s/events/ksm/ksm_advisor/enable", argv[4]);
    int fd = open(path, O_WRONLY); if (write(fd, "1", 1) != 1) return 1;
    close(fd);
    snprintf(path, sizeof path, "%s/trace_pipe", argv[4]);
    char all[256];
    snprintf(all, sizeof all, "%s/trace", argv[4]);
    size_t pages = 15000;
    uint64_t *own = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; scans && i < pages; i++) own[i * 512] = i + 1;
    madvise(own, pages * 4096, MADV_MERGEABLE);
    put("smart_scan", "0");
    for (int i = 0; i < scans;) {
        w("advisor_mode", "none");
        wn("advisor_max_cpu", below(3) ? 1 + below(100) : 70);
        wn("advisor_min_pages_to_scan", 200 + below(3000));
        wn("advisor_max_pages_to_scan", below(2) ? 3000 + below(4000) : 30000);
        wn("advisor_target_scan_time", 1 + below(below(2) ? 4 : 20));
        char t[16]; snprintf(t, sizeof t, "%u", 5 + below(40)); put("sleep_millisecs", t);
        w("advisor_mode", "scan-time");
        // What was told of scans under earlier settings is thrown away.
        close(open(all, O_WRONLY | O_TRUNC));
        FILE *pipe = fopen(path, "r");
        char before[64]; strcpy(before, get("pages_to_scan"));
        put("run", "1");
        for (int n = 6 + (int)below(8); n > 0; n--, i++) {
            char line[512]; unsigned long seconds, to; unsigned percent;
            if (!fgets(line, sizeof line, pipe)) return 1;
            char *p = strstr(line, "ksm_advisor:");
            if (!p || sscanf(p, "ksm_advisor: ksm scan time %lu pages_to_scan %lu cpu percent %u", &seconds, &to, &percent) != 3) { fprintf(stderr, "%s", line); return 1; }
            printf("s %s %lu %lu %u\n", before, seconds, to, percent);
            snprintf(before, sizeof before, "%lu", to);
            fflush(stdout);
        }
        put("run", "0");
        usleep(300000);
        fclose(pipe);
        fflush(stdout);
    }
    put("run", "2"); put("run", "0"); put("advisor_mode", "none");
    put("advisor_max_cpu", "70"); put("advisor_min_pages_to_scan", "500"); put("advisor_max_pages_to_scan", "30000"); put("advisor_target_scan_time", "200"); put("pages_to_scan", "100"); put("smart_scan", "1"); put("sleep_millisecs", "20");
    return 0;
}
