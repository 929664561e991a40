// The broker's store (mosquitto.db): where it is, and setting it aside and back.
// Must not: read it. What a damaged one looks like, only the broker knows.
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/str.h>

#define CONFIG_LEN_MAX (1024UL * 1024UL)
#define MARK           ".damaged-"
#define FILE_PRESET    "mosquitto.db" // of Mosquitto, where the configuration names none

// The value of a line "key value", or NULL if it is about something else. Mosquitto takes the first key at the start of
// a line, and all that follows the space as the value.
static char *value_of(char *line, const char *key)
{
    const size_t len = strlen(key);
    if (strncmp(line, key, len) != 0 || line[len] != ' ') {
        return NULL;
    }
    char *value = line + len + strspn(line + len, " ");
    value[strcspn(value, "\r")] = '\0';
    return value;
}

enum reeve_err store_find(const char *config, struct store *ret, struct reeve_why *why)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(CONFIG_LEN_MAX);
    enum reeve_err err = reeve_file_read(config, CONFIG_LEN_MAX, &text, why);
    if (err != REEVE_OK) {
        return err;
    }
    const char *folder = "", *file = FILE_PRESET;
    bool kept = false;
    char *rest = text.data;
    for (char *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL;) {
        char *value;
        if ((value = value_of(line, "persistence")) != NULL) {
            kept = reeve_str_eq(value, "true");
        } else if ((value = value_of(line, "persistence_location")) != NULL) {
            folder = value;
        } else if ((value = value_of(line, "persistence_file")) != NULL) {
            file = value;
        }
    }
    struct store found = {0};
    if (kept) {
        const int len = snprintf(found.path, sizeof found.path, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", file);
        if (len < 0 || (size_t)len >= sizeof found.path) {
            return reeve_fail_at(why, REEVE_LIMIT, config, "persistence_location: longer than %zu", sizeof found.path);
        }
    }
    *ret = found;
    return REEVE_OK;
}

bool store_exists(const struct store *store)
{
    return store->path[0] != '\0' && access(store->path, F_OK) == 0;
}

// The folder of a path, and where its last part begins.
static void split(const char *path, char folder[PATH_MAX], const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    *ret_name = slash == NULL ? path : slash + 1;
    (void)snprintf(folder, PATH_MAX, "%.*s", slash == NULL ? 1 : (int)(slash - path + 1), slash == NULL ? "." : path);
}

static void close_dir_auto(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir); /* only read from */
    }
}

// How many copies there are, and the name of the oldest: names sort by time.
static size_t count_aside(DIR *dir, const char *prefix, char oldest[NAME_MAX + 1])
{
    size_t count = 0;
    oldest[0] = '\0';
    rewinddir(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!reeve_str_starts(entry->d_name, prefix)) {
            continue;
        }
        if (count == 0 || strcmp(entry->d_name, oldest) < 0) {
            (void)snprintf(oldest, NAME_MAX + 1, "%s", entry->d_name);
        }
        count++;
    }
    return count;
}

static enum reeve_err prune(const struct store *store, struct reeve_why *why)
{
    char folder[PATH_MAX], prefix[NAME_MAX + 1], oldest[NAME_MAX + 1];
    const char *name;
    split(store->path, folder, &name);
    (void)snprintf(prefix, sizeof prefix, "%s" MARK, name);
    __attribute__((cleanup(close_dir_auto))) DIR *dir = opendir(folder);
    if (dir == NULL) {
        return reeve_fail_errno(why, "%s", folder);
    }
    while (count_aside(dir, prefix, oldest) > STORE_ASIDE_MAX) {
        if (unlinkat(dirfd(dir), oldest, 0) != 0) {
            return reeve_fail_errno(why, "%s%s", folder, oldest);
        }
    }
    return REEVE_OK;
}

enum reeve_err store_set_aside(struct store *store, struct reeve_why *why)
{
    char now[REEVE_CLOCK_TEXT_LEN];
    char aside[PATH_MAX];
    const int len =
        snprintf(aside, sizeof aside, "%s" MARK "%s", store->path, reeve_clock_format(reeve_clock_wall_ms(), now));
    if (len < 0 || (size_t)len >= sizeof aside) {
        return reeve_fail_at(why, REEVE_LIMIT, store->path, "no room for a longer name");
    }
    if (rename(store->path, aside) != 0) {
        return reeve_fail_errno(why, "rename %s", store->path);
    }
    (void)memcpy(store->aside, aside, sizeof aside);
    return prune(store, why);
}

enum reeve_err store_restore(struct store *store, struct reeve_why *why)
{
    if (rename(store->aside, store->path) != 0) {
        return reeve_fail_errno(why, "rename %s", store->aside);
    }
    store->aside[0] = '\0';
    return REEVE_OK;
}
