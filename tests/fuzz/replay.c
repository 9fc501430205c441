/* Runs every file of a directory through one fuzz target, in any build: fuzz_x DIRECTORY. An empty input
 * first. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 1;
    fseek(file, 0, SEEK_END);
    long     length = ftell(file);
    uint8_t *data = length > 0 ? malloc((size_t)length) : NULL;
    rewind(file);
    if (data != NULL && fread(data, 1, (size_t)length, file) == (size_t)length)
        LLVMFuzzerTestOneInput(data, (size_t)length);
    free(data);
    fclose(file);
    return 0;
}

int main(int arguments, char **argument)
{
    char           path[4096];
    int            inputs = 0;
    struct dirent *entry;
    DIR           *directory = arguments == 2 ? opendir(argument[1]) : NULL;
    if (directory == NULL) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argument[0]);
        return 2;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argument[1], entry->d_name);
        if (replay(path) != 0) {
            fprintf(stderr, "%s cannot be read\n", path);
            return 1;
        }
        inputs++;
    }
    closedir(directory);
    printf("%d inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
