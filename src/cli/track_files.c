/* The checkpoints of a run and what lies beside them. */
#include "cli/track_files.h"
#include "io/json.h"
#include "saddlescope/follow.h"

#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Names ----------------------------------------------------------------------------------------------
 */

static int natural(const void *a, const void *b)
{
    return ss_natural_compare(*(char *const *)a, *(char *const *)b);
}

static ss_status add_matches(ss_context *context, const char *pattern, ss_checkpoints *found)
{
    ss_status status = SS_OK;
    glob_t    matches = { .gl_pathc = 0 };
    int       error = glob(pattern, GLOB_ERR, NULL, &matches);
    if (error == GLOB_NOMATCH)
        SS_FAIL(context, SS_ERROR_INPUT, "--checkpoints: %s: no such file or folder", pattern);
    if (error != 0)
        SS_FAIL(context, SS_ERROR_INPUT, "--checkpoints: %s: the folder cannot be read: %s", pattern,
                strerror(errno));
    SS_TRY(ss_reallocate(context, found->count + (int64_t)matches.gl_pathc, sizeof *found->names,
                         (void **)&found->names));
    for (size_t i = 0; i < matches.gl_pathc; i++) {
        SS_TRY(ss_copy_string(context, matches.gl_pathv[i], &found->names[found->count]));
        found->count++;
    }
fail:
    globfree(&matches);
    return status;
}

ss_status ss_checkpoints_find(ss_context *context, const char *const *patterns, int64_t count,
                              ss_checkpoints *found)
{
    ss_status status = SS_OK;
    int64_t   kept = 0;
    *found = (ss_checkpoints){ .count = 0 };
    for (int64_t i = 0; i < count; i++) SS_TRY(add_matches(context, patterns[i], found));
    qsort(found->names, (size_t)found->count, sizeof *found->names, natural);
    for (int64_t i = 0; i < found->count; i++) {
        if (kept > 0 && strcmp(found->names[kept - 1], found->names[i]) == 0)
            ss_free(context, found->names[i]);
        else
            found->names[kept++] = found->names[i];
    }
    found->count = kept;
    return SS_OK;
fail:
    ss_checkpoints_release(context, found);
    return status;
}

void ss_checkpoints_release(ss_context *context, ss_checkpoints *found)
{
    for (int64_t i = 0; i < found->count; i++) ss_free(context, found->names[i]);
    ss_free(context, found->names);
    *found = (ss_checkpoints){ .count = 0 };
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

ss_status ss_checkpoint_weights(ss_context *context, const char *name, char **path)
{
    static const char *const files[] = { "weights.safetensors", "model.safetensors",
                                         "model.safetensors.index.json", "adapter_model.safetensors",
                                         "pytorch_model.bin" };
    ss_status                status = SS_OK;
    *path = NULL;
    if (!is_folder(name)) return ss_copy_string(context, name, path);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        SS_TRY(ss_format(context, path, "%s/%s", name, files[i]));
        if (exists(*path)) return SS_OK;
        ss_free(context, *path);
        *path = NULL;
    }
    SS_FAIL(context, SS_ERROR_INPUT,
            "%s: the folder holds neither weights.safetensors nor model.safetensors, "
            "adapter_model.safetensors or "
            "pytorch_model.bin",
            name);
fail:
    return status;
}

ss_status ss_checkpoint_beside(ss_context *context, const char *name, const char *file, char **path)
{
    ss_status   status = SS_OK;
    const char *slash = strrchr(name, '/');
    int         length = is_folder(name) ? (int)strlen(name) : slash != NULL ? (int)(slash - name) : 0;
    *path = NULL;
    if (file[0] != '/' && length > 0) {
        SS_TRY(ss_format(context, path, "%.*s/%s", length, name, file));
        if (exists(*path)) return SS_OK;
        ss_free(context, *path);
        *path = NULL;
    }
    SS_TRY(ss_copy_string(context, file, path));
fail:
    return status;
}

/* ---- Learning rates -------------------------------------------------------------------------------------
 */

static ss_status read_history(ss_context *context, const char *path, ss_schedule *schedule)
{
    ss_status     status = SS_OK;
    ss_json      *json = NULL;
    ss_json_value root, history, entry;
    double        last = -1;
    SS_TRY(ss_json_load(context, path, &json));
    root = ss_json_root(json);
    SS_TRY(ss_json_member(&root, "log_history", SS_JSON_ARRAY, &history));
    SS_TRY(SS_NEW_ARRAY(context, ss_json_length(&history), &schedule->rates));
    SS_TRY(SS_NEW_ARRAY(context, ss_json_length(&history), &schedule->steps));
    for (int64_t i = 0; i < ss_json_length(&history); i++) {
        double rate = 0, step = 0;
        SS_TRY(ss_json_element(&history, i, SS_JSON_OBJECT, &entry));
        if (!ss_json_has(&entry, "learning_rate")) continue; /* an evaluation, the summary at the end */
        SS_TRY(ss_json_number(&entry, "learning_rate", 0, 1e300, &rate));
        SS_TRY(ss_json_number(&entry, "step", last, 1e15, &step));
        schedule->rates[schedule->count] = rate;
        schedule->steps[schedule->count++] = last = step;
    }
    if (schedule->count == 0) {
        status = ss_json_fail(&history, "expected an entry with 'learning_rate', found none");
        goto fail;
    }
fail:
    ss_json_free(json);
    return status;
}

ss_status ss_schedule_read(ss_context *context, const char *text, ss_schedule *schedule)
{
    ss_status status = SS_OK;
    char     *end = NULL;
    double    rate = strtod(text, &end);
    *schedule = (ss_schedule){ .count = 0 };
    if (end == text || *end != '\0') {
        SS_TRY(read_history(context, text, schedule));
        return SS_OK;
    }
    if (!(rate > 0) || !isfinite(rate))
        SS_FAIL(context, SS_ERROR_USAGE, "--lr: %s is no positive number", text);
    SS_TRY(SS_NEW_ARRAY(context, 1, &schedule->rates));
    schedule->rates[0] = rate;
    schedule->count = 1;
    return SS_OK;
fail:
    ss_schedule_release(context, schedule);
    return status;
}

void ss_schedule_release(ss_context *context, ss_schedule *schedule)
{
    ss_free(context, schedule->rates);
    ss_free(context, schedule->steps);
    *schedule = (ss_schedule){ .count = 0 };
}

double ss_schedule_at(const ss_schedule *schedule, int64_t step)
{
    int64_t i = 0;
    if (schedule->count == 0) return (double)NAN;
    if (schedule->steps == NULL) return schedule->rates[0];
    if (step < 0) return schedule->rates[schedule->count - 1];
    while (i + 1 < schedule->count && schedule->steps[i + 1] <= (double)step) i++;
    return schedule->rates[i];
}
