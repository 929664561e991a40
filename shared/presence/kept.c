// Records in little memory. Ten thousand workers of one kind say nearly the same: the names of the keys, and values
// such as capabilities, labels and commands are kept once and counted; what is a worker's own stays as its bytes. Must
// not: see bytes that reeve_msgpack_read() has not accepted as one map; it only measures them.
#include "registry.h"

#include <reeve/codec.h>
#include <reeve/id.h>
#include <stdlib.h>
#include <string.h>

// A value is shared from this many bytes on: below, the reference would cost as much.
#define SHARED_CONTAINER_MIN 12
#define SHARED_TEXT_MIN      20
#define CHAIN_MAX            64 // blobs of one slot; more are kept, but not found again: the hash is no secret
#define SLOTS_FIRST          64

struct blob {
    struct blob *next; // of the same slot
    uint64_t digest;
    uint32_t refs;
    uint32_t len;
    bool listed;
    unsigned char bytes[];
};

struct presence_blobs {
    struct blob **slots;
    size_t slots_len; // a power of two
    size_t len;
};

// `shape`: per entry of the map 'i' (inline) or 'r' (a blob), then the key as msgpack. `bytes`: per entry the value as
// msgpack, or the blob's address.
struct reeve_kept {
    struct presence_blobs *blobs;
    struct blob *shape;
    uint32_t len;
    unsigned char bytes[];
};

// ---- measuring msgpack -------------------------------------------------------------------------------------------

struct span {
    const unsigned char *at;
    size_t len;
};

static uint64_t big_endian(const unsigned char *at, size_t width)
{
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++) {
        number = number << 8 | at[i];
    }
    return number;
}

// The head's bytes, what follows it as payload, and how many values it contains.
struct measure {
    size_t head, payload, values;
};

static struct measure counted(const struct span *rest, size_t width, size_t values_each, bool payload)
{
    uint64_t number = rest->len > width ? big_endian(rest->at + 1, width) : 0;
    return (struct measure){1 + width, payload ? (size_t)number : 0, values_each * (size_t)number};
}

static struct measure measure(const struct span *rest)
{
    unsigned first = rest->at[0];
    if (first >= 0x80 && first <= 0x9f) { // map, list of up to 15
        return (struct measure){1, 0, (size_t)(first & 0x0fU) * (first < 0x90 ? 2U : 1U)};
    }
    if (first >= 0xa0 && first <= 0xbf) {
        return (struct measure){1, first & 0x1fU, 0};
    }
    switch (first) {
    case 0xc4: // bytes, texts
    case 0xc5:
    case 0xc6:
        return counted(rest, (size_t)1 << (first - 0xc4), 0, true);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return counted(rest, (size_t)1 << (first - 0xd9), 0, true);
    case 0xdc: // lists
    case 0xdd:
        return counted(rest, (size_t)2 << (first - 0xdc), 1, false);
    case 0xde: // maps
    case 0xdf:
        return counted(rest, (size_t)2 << (first - 0xde), 2, false);
    case 0xca:
        return (struct measure){1, 4, 0};
    case 0xcb:
        return (struct measure){1, 8, 0};
    default: // numbers with 1, 2, 4, 8 bytes behind; all others are one byte
        return (struct measure){1, first >= 0xcc && first <= 0xd3 ? (size_t)1 << (first & 3U) : 0, 0};
    }
}

// The bytes of the next value, containers with all that is in them; 0 when there is none.
static size_t value_len(struct span rest)
{
    size_t all = rest.len;
    size_t pending = 1;
    while (pending > 0) {
        if (rest.len == 0) {
            return 0;
        }
        struct measure m = measure(&rest);
        if (m.head > rest.len || m.payload > rest.len - m.head) {
            return 0;
        }
        rest.at += m.head + m.payload;
        rest.len -= m.head + m.payload;
        pending = pending - 1 + m.values;
    }
    return all - rest.len;
}

static struct span next_value(struct span *rest)
{
    struct span value = {rest->at, value_len(*rest)};
    rest->at += value.len;
    rest->len -= value.len;
    return value;
}

static bool is_shared(const struct span *value)
{
    unsigned first = value->at[0];
    bool container = (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf);
    return value->len >= (container ? SHARED_CONTAINER_MIN : SHARED_TEXT_MIN);
}

// ---- blobs ------------------------------------------------------------------------------------------------------

struct presence_blobs *presence_blobs_new(void)
{
    struct presence_blobs *blobs = calloc(1, sizeof *blobs);
    if (blobs == NULL) {
        return NULL;
    }
    blobs->slots_len = SLOTS_FIRST;
    blobs->slots = calloc(SLOTS_FIRST, sizeof(struct blob *));
    if (blobs->slots == NULL) {
        free(blobs);
        return NULL;
    }
    return blobs;
}

void presence_blobs_free(struct presence_blobs *blobs)
{
    if (blobs != NULL) {
        REEVE_ASSERT(blobs->len == 0); // everything kept was freed
        free(blobs->slots);
        free(blobs);
    }
}

static struct blob **slot_of(const struct presence_blobs *blobs, uint64_t digest)
{
    return &blobs->slots[(digest ^ digest >> 32) & (blobs->slots_len - 1)];
}

static void grow(struct presence_blobs *blobs)
{
    struct presence_blobs wider = {.slots_len = 2 * blobs->slots_len};
    wider.slots = calloc(wider.slots_len, sizeof(struct blob *));
    if (wider.slots == NULL) {
        return; // longer chains
    }
    for (size_t i = 0; i < blobs->slots_len; i++) {
        for (struct blob *blob = blobs->slots[i], *next; blob != NULL; blob = next) {
            struct blob **slot = slot_of(&wider, blob->digest);
            next = blob->next;
            blob->next = *slot;
            *slot = blob;
        }
    }
    free(blobs->slots);
    blobs->slots = wider.slots;
    blobs->slots_len = wider.slots_len;
}

static struct blob *blob_add(struct presence_blobs *blobs, const void *bytes, size_t len, uint64_t digest, bool listed)
{
    struct blob *blob = malloc(sizeof *blob + len);
    if (blob == NULL) {
        return NULL;
    }
    struct blob **slot = slot_of(blobs, digest);
    *blob = (struct blob){.digest = digest, .refs = 1, .len = (uint32_t)len, .listed = listed};
    memcpy(blob->bytes, bytes, len);
    blobs->len++;
    if (listed) {
        blob->next = *slot;
        *slot = blob;
    }
    return blob;
}

static struct blob *blob_ref(struct presence_blobs *blobs, const void *bytes, size_t len)
{
    uint64_t digest = reeve_hash64(bytes, len);
    size_t chain = 0;
    if (blobs->len >= blobs->slots_len) {
        grow(blobs);
    }
    for (struct blob *blob = *slot_of(blobs, digest); blob != NULL; blob = blob->next, chain++) {
        if (blob->digest == digest && blob->len == len && memcmp(blob->bytes, bytes, len) == 0) {
            blob->refs++;
            return blob;
        }
    }
    return blob_add(blobs, bytes, len, digest, chain < CHAIN_MAX);
}

static void blob_unref(struct presence_blobs *blobs, struct blob *blob)
{
    if (--blob->refs > 0) {
        return;
    }
    struct blob **slot = slot_of(blobs, blob->digest);
    while (blob->listed && *slot != blob) {
        slot = &(*slot)->next;
    }
    if (blob->listed) {
        *slot = blob->next;
    }
    blobs->len--;
    free(blob);
}

// ---- keeping ----------------------------------------------------------------------------------------------------

#define REFERENCE_LEN sizeof(void *) // a blob's address among the bytes

// The entries of the map, without its head.
static struct span entries_of(const void *payload, size_t payload_len)
{
    struct span rest = {payload, payload_len};
    size_t head = payload_len == 0 ? 0 : measure(&rest).head;
    return head > 0 && head <= rest.len ? (struct span){rest.at + head, rest.len - head} : (struct span){NULL, 0};
}

// Shape and bytes of a record on their way into one allocation each; a record is at most REEVE_RETAINED_BYTES_MAX long.
struct packing {
    unsigned char shape[REEVE_RETAINED_BYTES_MAX * 2];
    unsigned char bytes[REEVE_RETAINED_BYTES_MAX * 2];
    size_t shape_len, bytes_len;
};

static bool pack_entry(struct presence_blobs *blobs, struct packing *packing, struct span *rest)
{
    struct span key = next_value(rest);
    struct span value = key.len > 0 && rest->len > 0 ? next_value(rest) : (struct span){NULL, 0};
    if (value.len == 0) {
        return false;
    }
    struct blob *blob = is_shared(&value) ? blob_ref(blobs, value.at, value.len) : NULL;
    packing->shape[packing->shape_len] = blob != NULL ? 'r' : 'i';
    memcpy(packing->shape + packing->shape_len + 1, key.at, key.len);
    packing->shape_len += 1 + key.len;
    const void *from = blob != NULL ? (const void *)&blob : value.at;
    size_t len = blob != NULL ? REFERENCE_LEN : value.len;
    memcpy(packing->bytes + packing->bytes_len, from, len);
    packing->bytes_len += len;
    return true;
}

// One entry of what is kept; advances both spans. `blob` NULL: `value` stands inline.
struct entry {
    struct span key, value;
    struct blob *blob;
};

static bool next_entry(struct span *shape, struct span *bytes, struct entry *ret)
{
    if (shape->len == 0) {
        return false;
    }
    bool shared = shape->at[0] == 'r';
    shape->at++;
    shape->len--;
    *ret = (struct entry){.key = next_value(shape)};
    if (shared) {
        memcpy((void *)&ret->blob, bytes->at, REFERENCE_LEN);
        ret->value = (struct span){ret->blob->bytes, ret->blob->len};
        bytes->at += REFERENCE_LEN;
        bytes->len -= REFERENCE_LEN;
    } else {
        ret->value = next_value(bytes);
    }
    return true;
}

static void unref_entries(struct presence_blobs *blobs, struct span shape, struct span bytes)
{
    struct entry entry;
    while (next_entry(&shape, &bytes, &entry)) {
        if (entry.blob != NULL) {
            blob_unref(blobs, entry.blob);
        }
    }
}

struct reeve_kept *presence_keep(struct presence_blobs *blobs, const void *payload, size_t payload_len)
{
    struct packing packing; // 32 KiB of stack, not cleared
    struct span rest = entries_of(payload, payload_len);
    packing.shape_len = 0;
    packing.bytes_len = 0;
    REEVE_ASSERT(payload_len <= REEVE_RETAINED_BYTES_MAX);
    bool whole = true;
    while (whole && rest.len > 0) {
        whole = pack_entry(blobs, &packing, &rest);
    }
    struct reeve_kept *kept = whole ? malloc(sizeof *kept + packing.bytes_len) : NULL;
    struct blob *shape = kept != NULL ? blob_ref(blobs, packing.shape, packing.shape_len) : NULL;
    if (shape == NULL) {
        unref_entries(blobs, (struct span){packing.shape, packing.shape_len},
                      (struct span){packing.bytes, packing.bytes_len});
        free(kept);
        return NULL;
    }
    *kept = (struct reeve_kept){.blobs = blobs, .shape = shape, .len = (uint32_t)packing.bytes_len};
    memcpy(kept->bytes, packing.bytes, packing.bytes_len);
    return kept;
}

void presence_kept_free(struct reeve_kept *kept)
{
    if (kept == NULL) {
        return;
    }
    unref_entries(kept->blobs, (struct span){kept->shape->bytes, kept->shape->len},
                  (struct span){kept->bytes, kept->len});
    blob_unref(kept->blobs, kept->shape);
    free(kept);
}

struct reeve_value *presence_kept_value(const struct reeve_kept *kept)
{
    REEVE_BUF_AUTO entries = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO whole = REEVE_BUF_INIT(0);
    struct span shape = {kept->shape->bytes, kept->shape->len};
    struct span bytes = {kept->bytes, kept->len};
    struct entry entry;
    size_t len = 0;
    for (; next_entry(&shape, &bytes, &entry); len++) {
        reeve_buf_append(&entries, entry.key.at, entry.key.len);
        reeve_buf_append(&entries, entry.value.at, entry.value.len);
    }
    const unsigned char head[] = {0xde, (unsigned char)(len >> 8), (unsigned char)len};
    reeve_buf_append(&whole, head, sizeof head);
    reeve_buf_append(&whole, entries.data, entries.len);
    struct reeve_value *value = NULL;
    struct reeve_limits limits = reeve_limits_wire;
    bool read = whole.err == REEVE_OK && entries.err == REEVE_OK &&
                reeve_msgpack_read(whole.data, whole.len, &limits, NULL, &value, NULL) == REEVE_OK;
    return read ? value : NULL;
}
