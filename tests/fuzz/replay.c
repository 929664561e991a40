// Runs a fuzz target over the files of a corpus folder, where there is no libFuzzer. A crash is the failure.
// Must not: change the corpus.
#include "fuzz.h"

#include <dirent.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_LEN_MAX (1u << 20)

static enum reeve_err file_replay(const char *folder, const char *name, struct reeve_why *why)
{
    REEVE_BUF_AUTO path = REEVE_BUF_INIT(4096);
    REEVE_BUF_AUTO content = REEVE_BUF_INIT(INPUT_LEN_MAX);
    reeve_buf_printf(&path, "%s/%s", folder, name);
    enum reeve_err err = reeve_file_read(reeve_buf_str(&path), INPUT_LEN_MAX, &content, why);
    if (err != REEVE_OK) {
        return err;
    }
    // a copy of exactly this length, so that a sanitizer sees a read past the end
    REEVE_AUTO_FREE uint8_t *exact = malloc(content.len == 0 ? 1 : content.len);
    if (exact == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    memcpy(exact, reeve_buf_str(&content), content.len);
    (void)printf("%s\n", name);
    (void)fflush(stdout);                             // the last line of a crash names the file
    (void)LLVMFuzzerTestOneInput(exact, content.len); // 0, always
    return REEVE_OK;
}

static void folder_close(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder); // only read from
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    __attribute__((cleanup(folder_close))) DIR *folder = opendir(argv[1]);
    if (folder == NULL) {
        (void)fprintf(stderr, "%s cannot be opened\n", argv[1]);
        return 1;
    }
    unsigned replayed = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct reeve_why why = {.text = ""};
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (file_replay(argv[1], entry->d_name, &why) != REEVE_OK) {
            (void)fprintf(stderr, "%s: %s\n", entry->d_name, why.text);
            return 1;
        }
        replayed++;
    }
    (void)printf("%u inputs replayed\n", replayed);
    return replayed == 0 ? 1 : 0; // an empty corpus tests nothing
}
