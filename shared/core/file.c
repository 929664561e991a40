// Whole-file reads and writes, directories, removal of trees.
// Every descriptor is close-on-exec: the daemon starts strangers. Partial work of a failed call is removed again.
// Must not: retry a failed fsync (the kernel may have dropped the pages and call the next one a success).
#include <reeve/file.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reeve/id.h>

#define CHUNK_SIZE 16384
// Removal of a tree holds one descriptor per level; deeper directories are first moved up to the top.
#define DEPTH_MAX 32
// A directory that is still not empty after so many rounds is being filled by somebody.
#define ROUNDS_MAX 1000

static void close_auto(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* read from, or synced before: nothing to learn */
    }
}
#define AUTO_CLOSE __attribute__((cleanup(close_auto))) int

// ---- reading

// O_NONBLOCK, so that a FIFO in the place of a file can't hold us in open().
static enum reeve_err open_regular(const char *path, int *ret_fd, struct stat *ret_st, struct reeve_why *why)
{
    AUTO_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, ret_st) != 0) {
        return reeve_fail_errno(why, "%s", path);
    }
    if (!S_ISREG(ret_st->st_mode)) {
        return reeve_fail(why, REEVE_INVALID, "%s: not a regular file", path);
    }
    *ret_fd = fd;
    fd = -1;
    return REEVE_OK;
}

// At most len_max bytes from where fd stands; *ret_more says whether the file goes on after them.
static enum reeve_err read_up_to(int fd, const char *path, size_t len_max, struct reeve_buf *buf, bool *ret_more,
                                 struct reeve_why *why)
{
    char chunk[CHUNK_SIZE];
    *ret_more = false;
    for (;;) {
        size_t room = len_max - buf->len;
        size_t wanted = room < sizeof chunk ? room + 1 : sizeof chunk; // one more, to see that it goes on
        ssize_t n = read(fd, chunk, wanted);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return reeve_fail_errno(why, "%s", path);
        }
        *ret_more = (size_t)n > room;
        reeve_buf_append(buf, chunk, *ret_more ? room : (size_t)n);
        if (buf->err != REEVE_OK) {
            return reeve_fail(why, buf->err, "%s: %s at %zu bytes", path, reeve_err_text(buf->err), buf->len);
        }
        if (n == 0 || *ret_more) {
            return REEVE_OK;
        }
    }
}

static void replace(struct reeve_buf *ret_buf, struct reeve_buf *from)
{
    reeve_buf_done(ret_buf);
    *ret_buf = *from;
    *from = (struct reeve_buf)REEVE_BUF_INIT(0);
}

static enum reeve_err read_whole(int fd, const char *path, size_t len_max, struct reeve_buf *ret_buf,
                                 struct reeve_why *why)
{
    REEVE_BUF_AUTO content = REEVE_BUF_INIT(ret_buf->len_max);
    bool more;
    enum reeve_err err = read_up_to(fd, path, len_max, &content, &more, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (more) {
        return reeve_fail(why, REEVE_LIMIT, "%s: larger than %zu bytes", path, len_max);
    }
    replace(ret_buf, &content);
    return REEVE_OK;
}

enum reeve_err reeve_file_read(const char *path, size_t len_max, struct reeve_buf *ret_buf, struct reeve_why *why)
{
    AUTO_CLOSE fd = -1;
    struct stat st;
    enum reeve_err err = open_regular(path, &fd, &st, why);
    return err != REEVE_OK ? err : read_whole(fd, path, len_max, ret_buf, why);
}

enum reeve_err reeve_file_read_tail(const char *path, size_t len_max, struct reeve_buf *ret_buf, struct reeve_why *why)
{
    AUTO_CLOSE fd = -1;
    struct stat st;
    enum reeve_err err = open_regular(path, &fd, &st, why);
    if (err != REEVE_OK) {
        return err;
    }
    if ((uintmax_t)st.st_size > len_max && lseek(fd, st.st_size - (off_t)len_max, SEEK_SET) < 0) {
        return reeve_fail_errno(why, "%s", path);
    }
    REEVE_BUF_AUTO content = REEVE_BUF_INIT(ret_buf->len_max);
    bool more; // a log that grew meanwhile
    err = read_up_to(fd, path, len_max, &content, &more, why);
    if (err == REEVE_OK) {
        replace(ret_buf, &content);
    }
    return err;
}

// One newline, as editors and `echo` leave it, also one of Windows.
static void trim_newline(struct reeve_buf *buf)
{
    if (buf->len > 0 && buf->data[buf->len - 1] == '\n') {
        buf->len -= buf->len > 1 && buf->data[buf->len - 2] == '\r' ? 2 : 1;
        buf->data[buf->len] = '\0';
    }
}

enum reeve_err reeve_file_read_secret(const char *path, size_t len_max, struct reeve_buf *ret_buf,
                                      struct reeve_why *why)
{
    AUTO_CLOSE fd = -1;
    struct stat st;
    enum reeve_err err = open_regular(path, &fd, &st, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        return reeve_fail(why, REEVE_DENIED, "%s: a secret owned by another user (uid %u)", path, st.st_uid);
    }
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return reeve_fail(why, REEVE_DENIED, "%s: a secret with mode %04o is open to others; chmod 600", path,
                          st.st_mode & 07777U);
    }
    err = read_whole(fd, path, len_max, ret_buf, why);
    if (err == REEVE_OK) {
        trim_newline(ret_buf);
    }
    return err;
}

// ---- writing

// A path as an open directory and a name in it.
struct place {
    int dir_fd;
    char name[NAME_MAX + 1];
};

static void place_done(const struct place *place)
{
    close_auto(&place->dir_fd);
}
#define AUTO_PLACE __attribute__((cleanup(place_done))) struct place

static enum reeve_err place_open(const char *path, struct place *ret, struct reeve_why *why)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t dir_len = slash == NULL ? 0 : (size_t)(slash - path);
    char dir[PATH_MAX];
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return reeve_fail(why, REEVE_INVALID, "%s: not the path of a file", path);
    }
    if (strlen(name) > NAME_MAX || dir_len >= sizeof dir) {
        return reeve_fail(why, REEVE_LIMIT, "%s: path too long", path);
    }
    const char *from = slash == NULL ? "." : slash == path ? "/" : path;
    (void)snprintf(dir, sizeof dir, "%.*s", dir_len == 0 ? 1 : (int)dir_len, from); /* measured above */
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return reeve_fail_errno(why, "%s", dir);
    }
    ret->dir_fd = fd;
    memcpy(ret->name, name, strlen(name) + 1);
    return REEVE_OK;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_synced(const struct place *place, const char *name, const void *data, size_t len, mode_t mode)
{
    AUTO_CLOSE fd = openat(place->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    // fchmod, because the umask of whoever started us has no say in who may read a secret.
    return fd >= 0 && write_all(fd, data, len) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
}

enum reeve_err reeve_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                                       struct reeve_why *why)
{
    AUTO_PLACE place = {.dir_fd = -1};
    enum reeve_err err = place_open(path, &place, why);
    if (err != REEVE_OK) {
        return err;
    }
    char random[9];
    char temp[32];
    (void)snprintf(temp, sizeof temp, ".reeve-%s.tmp", reeve_hex_random(random, 8)); /* 19 bytes */
    if (!write_synced(&place, temp, data, len, mode) || renameat(place.dir_fd, temp, place.dir_fd, place.name) != 0) {
        err = reeve_fail_errno(why, "%s: not written", path);
        (void)unlinkat(place.dir_fd, temp, 0); /* the error above is the one to report */
        return err;
    }
    // EINVAL: a file system whose directories can't be synced and need not be.
    if (fsync(place.dir_fd) != 0 && errno != EINVAL) {
        return reeve_fail_errno(why, "%s: written, but its directory is not synced", path);
    }
    return REEVE_OK;
}

// ---- directories

static enum reeve_err make_one(const char *path, mode_t mode, struct reeve_why *why)
{
    if (mkdir(path, mode) == 0) {
        return REEVE_OK;
    }
    struct stat st;
    int mkdir_errno = errno;
    // Also when mkdir is denied or the file system read-only: what exists is enough.
    if (stat(path, &st) == 0) {
        return S_ISDIR(st.st_mode) ? REEVE_OK : reeve_fail(why, REEVE_CONFLICT, "%s: not a directory", path);
    }
    errno = mkdir_errno;
    return reeve_fail_errno(why, "%s: not created", path);
}

enum reeve_err reeve_dir_make(const char *path, mode_t mode, struct reeve_why *why)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0) {
        return reeve_fail(why, REEVE_INVALID, "path is empty");
    }
    if (len >= sizeof part) {
        return reeve_fail(why, REEVE_LIMIT, "%s: path too long", path);
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/' || part[i - 1] == '/') {
            continue;
        }
        part[i] = '\0';
        enum reeve_err err = make_one(part, mode, why);
        if (err != REEVE_OK) {
            return err;
        }
        part[i] = '/';
    }
    return make_one(part, mode, why);
}

// ---- removal of a tree

struct removal {
    const char *path; // for messages
    int top_fd;       // the directory that `path` names, once it is open
    dev_t device;     // another device is a mount: not ours to empty
    struct reeve_why *why;
};

static void closedir_auto(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir); /* read from only */
    }
}

static enum reeve_err fail_entry(const struct removal *removal, const char *name)
{
    return reeve_fail_errno(removal->why, "%s: %s not removed", removal->path, name);
}

static enum reeve_err remove_entry(struct removal *removal, int dir_fd, const char *name, unsigned depth);

// Removes what one reading of the directory shows. Entries may come and go meanwhile.
static enum reeve_err remove_entries(struct removal *removal, int dir_fd, const char *dir_name, unsigned depth)
{
    int list_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    __attribute__((cleanup(closedir_auto))) DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
    if (dir == NULL) {
        enum reeve_err err = fail_entry(removal, dir_name);
        close_auto(&list_fd);
        return err;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno == 0 ? REEVE_OK : fail_entry(removal, dir_name);
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        enum reeve_err err = remove_entry(removal, dir_fd, entry->d_name, depth + 1);
        if (err != REEVE_OK) {
            return err;
        }
    }
}

static enum reeve_err move_up(const struct removal *removal, int dir_fd, const char *name)
{
    char random[17];
    char moved[32];
    (void)snprintf(moved, sizeof moved, ".reeve-%s.rm", reeve_hex_random(random, 16)); /* 26 bytes */
    return renameat(dir_fd, name, removal->top_fd, moved) == 0 ? REEVE_OK : fail_entry(removal, name);
}

static enum reeve_err open_dir(struct removal *removal, int dir_fd, const char *name, int *ret_fd)
{
    AUTO_CLOSE fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return fail_entry(removal, name);
    }
    if (removal->top_fd < 0) {
        removal->top_fd = fd;
        removal->device = st.st_dev;
    }
    if (st.st_dev != removal->device) {
        return reeve_fail(removal->why, REEVE_CONFLICT, "%s: %s is a mount, not removed", removal->path, name);
    }
    if ((st.st_mode & S_IRWXU) != S_IRWXU) {
        (void)fchmod(fd, S_IRWXU); /* a read-only directory of ours; where it is not, the next step says so */
    }
    *ret_fd = fd;
    fd = -1;
    return REEVE_OK;
}

static enum reeve_err remove_dir(struct removal *removal, int dir_fd, const char *name, unsigned depth)
{
    AUTO_CLOSE fd = -1;
    enum reeve_err err = open_dir(removal, dir_fd, name, &fd);
    if (err == REEVE_OK && depth > DEPTH_MAX) {
        return move_up(removal, dir_fd, name);
    }
    for (int round = 0; err == REEVE_OK && round < ROUNDS_MAX; round++) {
        err = remove_entries(removal, fd, name, depth);
        if (err != REEVE_OK || unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            return err;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            return fail_entry(removal, name);
        }
    }
    return err != REEVE_OK ? err : fail_entry(removal, name);
}

static enum reeve_err remove_entry(struct removal *removal, int dir_fd, const char *name, unsigned depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        return REEVE_OK;
    }
    int unlink_errno = errno; // of a directory EISDIR on Linux, EPERM in POSIX
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) {
        errno = unlink_errno;
        return fail_entry(removal, name);
    }
    return remove_dir(removal, dir_fd, name, depth);
}

enum reeve_err reeve_dir_remove(const char *path, struct reeve_why *why)
{
    // Without trailing slashes: "link/" would follow the link.
    char trimmed[PATH_MAX];
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    if (len >= sizeof trimmed) {
        return reeve_fail(why, REEVE_LIMIT, "%s: path too long", path);
    }
    memcpy(trimmed, path, len);
    trimmed[len] = '\0';
    AUTO_PLACE place = {.dir_fd = -1};
    enum reeve_err err = place_open(trimmed, &place, why);
    if (err != REEVE_OK) {
        return err == REEVE_NOENT ? REEVE_OK : err;
    }
    struct removal removal = {.path = path, .top_fd = -1, .why = why};
    return remove_entry(&removal, place.dir_fd, place.name, 0);
}
