// Files: whole reads with a bound, crash-safe whole writes, directories, removal of a tree.
// After reeve_file_write_atomic() returns OK the content survives a power cut; when it fails the old
// content is intact (rename over, fsync of file and directory; never retried after a failed fsync:
// Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). One exception: when only the sync of
// the directory fails, the new content is in place but may not survive, and the why says so.
#ifndef REEVE_FILE_H
#define REEVE_FILE_H

#include <reeve/buf.h>
#include <sys/types.h>

// Reading replaces what ret_buf holds, and only when it succeeds; the bound of ret_buf applies too.
//
// The whole file, at most len_max bytes (LIMIT above it). Refuses directories and devices.
enum reeve_err reeve_file_read(const char *path, size_t len_max, struct reeve_buf *ret_buf, struct reeve_why *why);
// The last `len_max` bytes at most. Short files give all.
enum reeve_err reeve_file_read_tail(const char *path, size_t len_max, struct reeve_buf *ret_buf, struct reeve_why *why);
// `mode` is exact, whatever the umask. A symbolic link at `path` is replaced, not followed. A crash in the middle
// may leave `.reeve-<hex>.tmp` beside the file: readers of a directory skip names that begin with a dot.
enum reeve_err reeve_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                                       struct reeve_why *why);
// A secret (password, key): must be a regular file closed to group and others, owned by us or root (S34);
// trailing newline removed. DENIED with the mode that was found.
enum reeve_err reeve_file_read_secret(const char *path, size_t len_max, struct reeve_buf *ret_buf,
                                      struct reeve_why *why);
enum reeve_err reeve_dir_make(const char *path, mode_t mode, struct reeve_why *why); // with parents; exists = OK
// Remove a tree below and including `path`, however deep; never follows a symbolic link, never crosses into a
// mount (CONFLICT). Absent = OK. "/" and names "." and ".." are INVALID.
enum reeve_err reeve_dir_remove(const char *path, struct reeve_why *why);

#endif
