/* What the machine grants this process: /proc/meminfo, cgroup v1 and v2, the affinity mask.
 *
 * References: Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst of Linux. Inside a container the
 * path in /proc/self/cgroup may not exist below /sys/fs/cgroup; then the mount's root is the process's own
 * group, so every path is followed up to the root and missing files are passed over. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/host.h"
#include "base/base.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* First line of a small file without its newline; false when it cannot be read. */
static bool read_line(const char *path, char *line, size_t bytes)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    bool read = fgets(line, (int)bytes, file) != NULL;
    if (read) line[strcspn(line, "\n")] = '\0';
    fclose(file);
    return read;
}

/* A number alone in a file; false for a missing file or a word such as "max". */
static bool read_number(const char *path, int64_t *number)
{
    char line[64], *end = NULL;
    if (!read_line(path, line, sizeof line)) return false;
    *number = strtoll(line, &end, 10);
    return end != line;
}

/* The number behind `key` in a file of lines "key number"; false when the key is absent. */
static bool read_keyed_number(const char *path, const char *key, int64_t *number)
{
    char   line[256];
    size_t length = strlen(key);
    bool   found = false;
    FILE  *file = fopen(path, "r");
    if (file == NULL) return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, length) != 0 || (line[length] != ' ' && line[length] != ':')) continue;
        *number = strtoll(line + length + 1, NULL, 10);
        found = true;
    }
    fclose(file);
    return found;
}

/* Is `name` one of the comma-separated controllers? */
static bool lists_controller(const char *controllers, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
    }
    return false;
}

typedef void (*group_visitor)(const char *directory, bool unified, void *user);

/* Calls visit for the directory of a group and for those of all its ancestors. */
static void visit_ancestors(const char *mount, const char *group, bool unified, group_visitor visit,
                            void *user)
{
    char directory[PATH_BYTES];
    int  length = snprintf(directory, sizeof directory, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group);
    if (length < 0 || (size_t)length >= sizeof directory) return;
    for (;;) {
        visit(directory, unified, user);
        char *slash = strrchr(directory, '/');
        if (strlen(directory) <= strlen(mount) || slash == NULL) return;
        *slash = '\0';
    }
}

/* Calls visit for every group that limits `controller` for this process. */
static void visit_groups(const char *root, const char *controller, group_visitor visit, void *user)
{
    char path[PATH_BYTES], mount[PATH_BYTES], line[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) continue;
        controllers++;
        *group++ = '\0';
        if (*controllers == '\0') { /* version 2, alone or beside version 1 */
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
            visit_ancestors(mount, group, true, visit, user);
        } else if (lists_controller(controllers, controller)) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, controller);
            visit_ancestors(mount, group, false, visit, user);
        }
    }
    fclose(file);
}

static void lower_memory(const char *directory, bool unified, void *user)
{
    char     path[PATH_BYTES + 64];
    int64_t *least = user, limit = 0, used = 0, cache = 0;
    snprintf(path, sizeof path, "%s/%s", directory, unified ? "memory.max" : "memory.limit_in_bytes");
    if (!read_number(path, &limit)) return;
    snprintf(path, sizeof path, "%s/%s", directory, unified ? "memory.current" : "memory.usage_in_bytes");
    if (!read_number(path, &used)) return;
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    /* Inactive file pages count as used but are given up under pressure. */
    if (!read_keyed_number(path, unified ? "inactive_file" : "total_inactive_file", &cache)) cache = 0;
    int64_t left = limit - used + ss_min64(cache, used);
    *least = ss_min64(*least, ss_max64(left, 0));
}

int64_t ss_host_memory_available(const char *root)
{
    char          path[PATH_BYTES];
    int64_t       least = INT64_MAX, kilobytes = 0;
    struct rlimit limit;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (read_keyed_number(path, "MemAvailable", &kilobytes)) least = kilobytes * 1024;
    visit_groups(root, "memory", lower_memory, &least);
    if (root[0] == '\0' && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        int64_t pages = 0;
        if (read_number("/proc/self/statm", &pages))
            least = ss_min64(least, ss_max64((int64_t)limit.rlim_cur - pages * sysconf(_SC_PAGESIZE), 0));
    }
    return least;
}

int64_t ss_memory_available(void)
{
    return ss_host_memory_available("");
}

static void lower_processors(const char *directory, bool unified, void *user)
{
    char     path[PATH_BYTES + 64], line[128];
    int64_t *least = user, quota = 0, period = 0;
    if (unified) {
        long long q = 0, p = 0;
        snprintf(path, sizeof path, "%s/cpu.max", directory);
        if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &q, &p) != 2) return;
        quota = q;
        period = p;
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
        if (!read_number(path, &quota)) return;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
        if (!read_number(path, &period)) return;
    }
    if (quota <= 0 || period <= 0) return;
    *least = ss_min64(*least, ss_max64((quota - 1) / period + 1, 1));
}

/* Processors of the affinity mask. The kernel's mask may be longer than cpu_set_t: it is asked with growing
 * sizes. */
static int64_t affinity_processors(void)
{
    for (int processors = 1024; processors <= 1 << 17; processors *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)processors);
        size_t     bytes = CPU_ALLOC_SIZE((size_t)processors);
        if (set == NULL) return 1;
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    return 1;
}

int ss_host_processors(const char *root)
{
    int64_t     least = affinity_processors();
    const char *openmp = getenv("OMP_NUM_THREADS");
    long        wanted = openmp != NULL ? strtol(openmp, NULL, 10) : 0;
    visit_groups(root, "cpu", lower_processors, &least);
    if (wanted > 0) least = ss_min64(least, wanted);
    return (int)least;
}
