/* What the machine grants this process: memory and processors, with cgroup limits and affinity respected.
 *
 * `root` stands before every path that is read, "" in earnest; tests give a directory with a made-up /proc
 * and /sys. */
#ifndef SS_BASE_HOST_H
#define SS_BASE_HOST_H

#include <stdint.h>

/* Bytes the process may still take: the least of MemAvailable, of (limit - used + reclaimable file cache) of
 * every memory cgroup above the process (v1 and v2), and of RLIMIT_AS (only when root is ""). INT64_MAX when
 * nothing is known. */
int64_t ss_host_memory_available(const char *root);

/* Processors to use by default, at least 1: those of the affinity mask, at most the CPU quota of every
 * cgroup above the process (rounded up), at most OMP_NUM_THREADS where that is set. */
int ss_host_processors(const char *root);

#endif
