/* Memory and processors granted by the machine, read from made-up /proc and /sys trees. */
#include "base/host.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Writes `text` to <test directory>/<path>, making the directories on the way. */
static void put(const char *path, const char *text)
{
    char whole[2048];
    snprintf(whole, sizeof whole, "%s%s", ss_test_directory(), path);
    for (char *slash = strchr(whole + strlen(ss_test_directory()) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0777);
        *slash = '/';
    }
    ss_test_write_file(whole, text, strlen(text));
}

static int64_t available(void)
{
    return ss_host_memory_available(ss_test_directory());
}

Test(host, memory_without_groups, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_assert(available() == INT64_MAX);
    put("/proc/meminfo", "MemTotal:       8000 kB\nMemFree:  10 kB\nMemAvailable:    3000 kB\n");
    cr_assert(available() == 3000 * 1024);
}

Test(host, memory_version_2, .init = ss_test_begin, .fini = ss_test_end)
{
    put("/proc/meminfo", "MemAvailable:    3000 kB\n");
    put("/proc/self/cgroup", "0::/job/step\n");
    put("/sys/fs/cgroup/job/step/memory.max", "max\n");
    put("/sys/fs/cgroup/job/step/memory.current", "1000\n");
    put("/sys/fs/cgroup/job/memory.max", "2000000\n");
    put("/sys/fs/cgroup/job/memory.current", "1500000\n");
    put("/sys/fs/cgroup/job/memory.stat", "anon 1\nfile 400000\ninactive_file 300000\n");
    cr_assert(available() == 800000, "%lld", (long long)available());
    put("/sys/fs/cgroup/job/step/memory.max", "500\n");
    cr_assert(available() == 0);
}

Test(host, memory_version_1, .init = ss_test_begin, .fini = ss_test_end)
{
    put("/proc/meminfo", "MemAvailable:    3000 kB\n");
    put("/proc/self/cgroup", "4:memory:/nowhere/inside/a/container\n2:cpu,cpuacct:/\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "400000\n");
    put("/sys/fs/cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file 100000\n");
    cr_assert(available() == 700000, "%lld", (long long)available());
}

Test(host, processors, .init = ss_test_begin, .fini = ss_test_end)
{
    unsetenv("OMP_NUM_THREADS");
    int all = ss_host_processors(ss_test_directory());
    cr_assert(all >= 1);
    put("/proc/self/cgroup", "0::/job\n");
    put("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
    cr_assert(ss_host_processors(ss_test_directory()) == all);
    put("/sys/fs/cgroup/job/cpu.max", "50000 100000\n");
    cr_assert(ss_host_processors(ss_test_directory()) == 1);
    put("/proc/self/cgroup", "2:cpuacct,cpu:/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_assert(ss_host_processors(ss_test_directory()) == all);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    cr_assert(ss_host_processors(ss_test_directory()) == 1);
}

Test(host, this_machine)
{
    cr_assert(ss_memory_available() > 1 << 20);
    cr_assert(ss_host_processors("") >= 1);
}
