// Errors: one closed enum by class of error, and the human detail that travels beside it.
// A caller branches on the class (retry? tell the user? give up?); a person reads the detail.
// Must not: allocate, log, or know where an error came from.
#ifndef REEVE_ERR_H
#define REEVE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

// gcc accepts [[nodiscard]] on an enum in C17, clang 14 only the GNU spelling.
#if defined(__clang__)
#define REEVE_NODISCARD_TYPE __attribute__((warn_unused_result))
#else
#define REEVE_NODISCARD_TYPE [[nodiscard]]
#endif

// id, text. The text is what replies carry as `code` and logs as `err=`.
#define REEVE_ERR_LIST(X)                                                                                              \
    X(OK, "ok")               /* it worked */                                                                          \
    X(INVALID, "invalid")     /* the input is wrong; the why says where */                                             \
    X(NOENT, "not_found")     /* no such worker, file, op */                                                           \
    X(CONFLICT, "conflict")   /* the state does not allow it, or the same id with other content */                     \
    X(LIMIT, "limit")         /* a bound was reached: full queue, too large, too deep */                               \
    X(NOMEM, "no_memory")     /* an allocation failed */                                                               \
    X(IO, "io")               /* a file or device failed; the why carries errno's text */                              \
    X(OFFLINE, "offline")     /* no session with the broker, or nobody there */                                        \
    X(TIMEOUT, "timeout")     /* no answer in time */                                                                  \
    X(DENIED, "denied")       /* not allowed */                                                                        \
    X(CORRUPT, "corrupt")     /* our own stored data does not read back */                                             \
    X(UNSUPPORTED, "unsupported") /* this host, broker or build can't */                                               \
    X(CANCELLED, "cancelled") /* given up on request, or superseded */                                                 \
    X(INTERNAL, "internal")   /* a library did what it must not; worth a report */

enum REEVE_NODISCARD_TYPE reeve_err {
#define X(id, text) REEVE_##id,
    REEVE_ERR_LIST(X)
#undef X
};

// The class's text ("not_found"). Never NULL; unknown numbers give "internal".
const char *reeve_err_text(enum reeve_err err);

// Human detail of one error. Plain memory, no ownership; may be copied.
// `place` is file:line:col, a path in a record, or a topic; empty when there is none.
struct reeve_why {
    char place[224];
    char text[416];
};

// Fill `why` (NULL allowed: nothing happens) and return `err`, so that a function ends in
// `return reeve_fail(why, REEVE_INVALID, "name has '%c'", c);`. Text is cut at its bound, on a UTF-8 boundary.
enum reeve_err reeve_fail(struct reeve_why *why, enum reeve_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// The same with a place.
enum reeve_err reeve_fail_at(struct reeve_why *why, enum reeve_err err, const char *place, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// The same for a failed system call: appends ": <strerror(errno)>". ENOMEM -> NOMEM, ENOENT -> NOENT,
// EACCES/EPERM -> DENIED, everything else -> IO.
enum reeve_err reeve_fail_errno(struct reeve_why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// "place: text", or "text" when there is no place. Returns buf.
const char *reeve_why_format(const struct reeve_why *why, char *buf, size_t buf_len);

// Programmer errors only, on in every build (RelWithDebInfo defines NDEBUG, so assert() would vanish).
// Bytes from a network, a disk or a person are never asserted on.
#define REEVE_ASSERT(cond)                                                                                             \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            reeve_assert_failed(#cond, __FILE__, __LINE__, __func__);                                                  \
        }                                                                                                              \
    } while (0)
_Noreturn void reeve_assert_failed(const char *cond, const char *file, int line, const char *func);

#define REEVE_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
