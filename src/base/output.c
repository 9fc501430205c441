/* Writing files that are whole or absent; see output.h.
 *
 * The part has a fixed name so that what a killed run left behind is used up by the next one. A lock on it
 * keeps two processes with one target apart; because a rename may come between opening and locking, the
 * locked file is checked to be the one that still has the name. */
#define _DEFAULT_SOURCE /* flock */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)1 << 16)

struct ss_output {
    ss_context *context;
    char       *target;               /* what is renamed over; links resolved */
    char       *part;                 /* what is written; NULL when the target is written directly */
    int         descriptor;           /* of the part (or target), -1 = none */
    int64_t     position;             /* bytes appended */
    size_t      pending;              /* bytes in buffer */
    char        buffer[BUFFER_BYTES]; /* not yet handed to the system */
};

static ss_status fail_with(ss_output *output, int error)
{
    return ss_fail(output->context, SS_ERROR_OUTPUT, "%s: cannot be written: %s", output->target,
                   strerror(error));
}

static void close_descriptor(ss_output *output)
{
    if (output->descriptor >= 0) close(output->descriptor);
    output->descriptor = -1;
}

static void destroy(ss_output **output)
{
    close_descriptor(*output);
    ss_free((*output)->context, (*output)->part);
    ss_free((*output)->context, (*output)->target);
    ss_free((*output)->context, *output);
    *output = NULL;
}

/* Opens and locks the part, empty. */
static ss_status open_part(ss_output *output)
{
    for (;;) {
        struct stat opened, named;
        output->descriptor = open(output->part, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (output->descriptor < 0) return fail_with(output, errno);
        if (flock(output->descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            return ss_fail(output->context, SS_ERROR_OUTPUT,
                           "%s: another process is writing it now (%s is locked)", output->target,
                           output->part);
        if (fstat(output->descriptor, &opened) == 0 && stat(output->part, &named) == 0 &&
            opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
            break;
        close_descriptor(output); /* renamed or removed meanwhile by its owner: take the name anew */
    }
    if (ftruncate(output->descriptor, 0) != 0) {
        int error = errno;
        unlink(output->part);
        return fail_with(output, error);
    }
    return SS_OK;
}

ss_status ss_output_open(ss_context *context, const char *path, ss_output **output)
{
    ss_status   status = SS_OK;
    struct stat present;
    ss_output  *made = NULL;
    char       *resolved = realpath(path, NULL);
    *output = NULL;

    SS_TRY(SS_NEW(context, &made));
    made->context = context;
    made->descriptor = -1;
    SS_TRY(ss_copy_string(context, resolved != NULL ? resolved : path, &made->target));
    if (stat(made->target, &present) == 0 && !S_ISREG(present.st_mode)) {
        made->descriptor = open(made->target, O_WRONLY | O_CLOEXEC);
        if (made->descriptor < 0) status = fail_with(made, errno);
    } else {
        /* A rename needs no right to write the file itself: ask for it, as other programs would. */
        if (resolved != NULL && access(made->target, W_OK) != 0) {
            status = fail_with(made, errno);
            goto fail;
        }
        SS_TRY(ss_format(context, &made->part, "%s.part", made->target));
        status = open_part(made);
    }
fail:
    free(resolved);
    if (status == SS_OK)
        *output = made;
    else if (made != NULL)
        destroy(&made);
    return status;
}

static ss_status write_through(ss_output *output, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(output->descriptor, data, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_with(output, errno);
        data += written;
        bytes -= (size_t)written;
    }
    return SS_OK;
}

static ss_status flush(ss_output *output)
{
    ss_status status = write_through(output, output->buffer, output->pending);
    output->pending = 0;
    return status;
}

ss_status ss_output_write(ss_output *output, const void *data, size_t bytes)
{
    ss_status status = SS_OK;
    output->position += (int64_t)bytes;
    if (bytes > BUFFER_BYTES - output->pending) SS_TRY(flush(output));
    if (bytes > BUFFER_BYTES) return write_through(output, data, bytes);
    if (bytes > 0) memcpy(output->buffer + output->pending, data, bytes);
    output->pending += bytes;
fail:
    return status;
}

ss_status ss_output_print(ss_output *output, const char *format, ...)
{
    char    line[512], *text = line;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0)
        return ss_fail(output->context, SS_ERROR_INTERNAL, "text cannot be formatted: '%s'", format);
    if ((size_t)length >= sizeof line) {
        ss_status status = ss_allocate(output->context, (int64_t)length + 1, 1, (void **)&text);
        if (status != SS_OK) return status;
        va_start(arguments, format);
        vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    ss_status status = ss_output_write(output, text, (size_t)length);
    if (text != line) ss_free(output->context, text);
    return status;
}

int64_t ss_output_position(const ss_output *output)
{
    return output->position;
}

/* Makes the rename itself durable. Some file systems refuse to sync a directory; that is no failure. */
static void sync_directory(ss_output *output)
{
    char *slash = strrchr(output->part, '/');
    if (slash != NULL) slash[slash == output->part ? 1 : 0] = '\0';
    int directory = open(slash != NULL ? output->part : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    (void)fsync(directory);
    close(directory);
}

ss_status ss_output_commit(ss_output **output)
{
    ss_status  status = SS_OK;
    ss_output *made = *output;
    SS_TRY(flush(made));
    /* EINVAL, EROFS: a terminal or pipe, which has nothing to sync. */
    if (fsync(made->descriptor) != 0 && errno != EINVAL && errno != EROFS) {
        status = fail_with(made, errno);
        goto fail;
    }
    /* The rename comes before the close, which gives up the lock. */
    if (made->part != NULL && rename(made->part, made->target) != 0) {
        status = fail_with(made, errno);
        goto fail;
    }
    if (made->part != NULL) sync_directory(made);
    destroy(output);
    return SS_OK;
fail:
    ss_output_abort(output);
    return status;
}

void ss_output_abort(ss_output **output)
{
    if (*output == NULL) return;
    if ((*output)->part != NULL) unlink((*output)->part);
    destroy(output);
}

ss_status ss_output_file(ss_context *context, const char *path, const void *data, size_t bytes)
{
    ss_status  status = SS_OK;
    ss_output *output = NULL;
    SS_TRY(ss_output_open(context, path, &output));
    SS_TRY(ss_output_write(output, data, bytes));
    SS_TRY(ss_output_commit(&output));
fail:
    ss_output_abort(&output);
    return status;
}
