// The numbers of a bus.
#include "session.h"

void reeve_bus_stats(const struct reeve_bus *bus, struct reeve_bus_stats *ret)
{
    *ret = bus->stats;
    ret->handover_stalls = reeve_handover_stalls(bus->handover);
    ret->refused_size += reeve_paho_refused_size(bus->paho);
}

struct reeve_value *reeve_bus_stats_value(const struct reeve_bus *bus)
{
    struct reeve_bus_stats stats;
    reeve_bus_stats(bus, &stats);
    struct reeve_value *map = reeve_value_map();
#define X(name) reeve_put_int(map, #name, (int64_t)stats.name);
    REEVE_BUS_STATS(X)
#undef X
    return map;
}
