// Who there is in a simulated fleet, by number.
// Must not: keep anything.
#include "simulated.h"

#include <reeve/id.h>
#include <stdio.h>

static const char *const types[] = {"market-maker", "swap", "arbitrage", "watch"};
static const char *const exchanges[SIMULATED_EXCHANGES] = {"binance", "kraken", "okx",  "bybit",  "coinbase",
                                                           "bitget",  "kucoin", "gate", "bitmex", "deribit"};
static const char *const regions[] = {"eu-west", "us-east", "ap-south"};

const char *simulated_node(int node, char buf[REEVE_NAME_SIZE])
{
    (void)snprintf(buf, REEVE_NAME_SIZE, "sim-%04d", node);
    return buf;
}

const char *simulated_exchange_at(int exchange)
{
    return exchanges[exchange % SIMULATED_EXCHANGES];
}

const char *simulated_exchange(int worker, int nodes)
{
    return exchanges[worker / nodes % SIMULATED_EXCHANGES];
}

const char *simulated_type(int worker, int nodes)
{
    return types[(size_t)(worker / nodes / SIMULATED_EXCHANGES) % (sizeof types / sizeof types[0])];
}

const char *simulated_region(int node)
{
    return regions[(size_t)node % (sizeof regions / sizeof regions[0])];
}

const char *simulated_worker(int worker, int nodes, char buf[REEVE_NAME_SIZE])
{
    (void)snprintf(buf, REEVE_NAME_SIZE, "worker-%s-%s-sim%04d-%08x", simulated_type(worker, nodes),
                   simulated_exchange(worker, nodes), worker % nodes, (unsigned)reeve_hash64(&worker, sizeof worker));
    return buf;
}

bool simulated_processing(int worker)
{
    return worker % 10 == 7;
}
