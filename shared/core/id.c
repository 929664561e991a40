// Identifiers: ULIDs, random hex, the boot id, the digest for comparing.
// Randomness is getrandom(2); there is no generator of our own to seed, fork or predict.
// Must not: fail; a machine without getrandom is an assertion.
#include <reeve/id.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <reeve/clock.h>

#define ULID_TIME_MASK  ((UINT64_C(1) << 48) - 1)
#define ULID_TIME_LEN   10 // characters of 5 bits for the 48 bits of time
#define ULID_RANDOM_LEN 8  // characters of 5 bits in each half of the 80 random bits
#define ULID_HALF_MASK  ((UINT64_C(1) << 40) - 1)
#define ID_LEN_MAX      64

struct ulid_state {
    uint64_t time;
    uint64_t high; // the 80 random bits, 40 each
    uint64_t low;
    pid_t pid;
};

static pthread_mutex_t ulid_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ulid_state ulid_last;

void reeve_random_bytes(void *buf, size_t len)
{
    unsigned char *out = buf;
    while (len > 0) {
        ssize_t n = getrandom(out, len, 0);
        if (n < 0) {
            REEVE_ASSERT(errno == EINTR);
            continue;
        }
        out += n;
        len -= (size_t)n;
    }
}

static void ulid_fresh(struct ulid_state *state, uint64_t time)
{
    uint64_t random[2];
    reeve_random_bytes(random, sizeof random);
    state->time = time;
    state->high = random[0] & ULID_HALF_MASK;
    state->low = random[1] & ULID_HALF_MASK;
}

static void ulid_increment(struct ulid_state *state)
{
    state->low = (state->low + 1) & ULID_HALF_MASK;
    if (state->low == 0) {
        state->high = (state->high + 1) & ULID_HALF_MASK;
        if (state->high == 0) {
            state->time = (state->time + 1) & ULID_TIME_MASK;
        }
    }
}

// The next in order. A clock that stands still or went back counts on from the last one; a child of fork()
// shares the last one with its parent and so must start afresh.
static struct ulid_state ulid_next(uint64_t now, pid_t pid)
{
    (void)pthread_mutex_lock(&ulid_lock); /* a static, error-free kind of mutex */
    if (now > ulid_last.time || pid != ulid_last.pid) {
        ulid_fresh(&ulid_last, now);
        ulid_last.pid = pid;
    } else {
        ulid_increment(&ulid_last);
    }
    struct ulid_state next = ulid_last;
    (void)pthread_mutex_unlock(&ulid_lock); /* held above */
    return next;
}

static char *put_base32(char *out, uint64_t bits, unsigned digits)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for (unsigned i = digits; i > 0; i--) {
        *out++ = alphabet[bits >> (5 * (i - 1)) & 31];
    }
    return out;
}

const char *reeve_ulid_new(char buf[REEVE_ULID_SIZE])
{
    struct ulid_state ulid = ulid_next((uint64_t)reeve_clock_wall_ms() & ULID_TIME_MASK, getpid());
    char *end = put_base32(buf, ulid.time, ULID_TIME_LEN);
    end = put_base32(end, ulid.high, ULID_RANDOM_LEN);
    end = put_base32(end, ulid.low, ULID_RANDOM_LEN);
    *end = '\0';
    return buf;
}

bool reeve_id_valid(const char *id)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (id == NULL) {
        return false;
    }
    size_t len = strspn(id, allowed);
    return len >= 1 && len <= ID_LEN_MAX && id[len] == '\0';
}

const char *reeve_hex_random(char *buf, size_t digits)
{
    static const char alphabet[] = "0123456789abcdef";
    reeve_random_bytes(buf, digits);
    for (size_t i = 0; i < digits; i++) {
        buf[i] = alphabet[buf[i] & 15];
    }
    buf[digits] = '\0';
    return buf;
}

static char boot_id[64];

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t n = read(fd, boot_id, sizeof boot_id - 1);
    (void)close(fd); /* only read from */
    boot_id[n > 0 ? n : 0] = '\0';
    boot_id[strcspn(boot_id, "\n")] = '\0';
}

const char *reeve_boot_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, read_boot_id); /* can't fail with these arguments */
    return boot_id;
}

uint64_t reeve_hash64(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}
