/* Reading .npz: a zip file of .npy members, as numpy.savez and numpy.savez_compressed write it. */
#include "io/zip.h"

#include <stdio.h>
#include <string.h>

static const char suffix[] = ".npy";

static ss_status read_array(ss_archive *archive, const ss_zip *zip, const ss_zip_member *member)
{
    ss_status            status = SS_OK;
    const unsigned char *data = NULL;
    char                 name[SS_MEMBER_NAME];
    size_t               length = strlen(member->name), tail = strlen(suffix);
    if (length < tail || strcmp(member->name + length - tail, suffix) != 0)
        SS_TRY(ss_archive_fail(archive, "%sis no .npy array", member->where));
    SS_TRY(ss_zip_data(zip, member, &data));
    snprintf(name, sizeof name, "%.*s", (int)(length - tail), member->name);
    SS_TRY(ss_npy_read_member(archive, member->where, name, data, member->size));
fail:
    return status;
}

ss_status ss_npz_read(ss_archive *archive, const ss_zip *zip)
{
    ss_status status = SS_OK;
    for (int64_t i = 0; i < zip->count; i++) SS_TRY(read_array(archive, zip, &zip->members[i]));
fail:
    return status;
}
