// What every backend of the store shares: the names of the collections.
// Must not: know a backend.
#include "store.h"

const char *store_collection_text(enum store_collection collection)
{
    static const char *const texts[STORE_COLLECTION_COUNT] = {
#define X(id, text) [STORE_##id] = text,
        STORE_COLLECTIONS(X)
#undef X
    };
    REEVE_ASSERT(collection < STORE_COLLECTION_COUNT);
    return texts[collection];
}
