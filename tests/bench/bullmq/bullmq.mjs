// Producer and worker at BullMQ, the same tasks as those of Reeve and beanstalkd; see tools/bench/job_order.h and job_ledger.h
// for what they are told and write down.
//   node bullmq.mjs producer PORT SENT | worker PORT LEDGER CONCURRENCY
import { closeSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Queue, Worker } from 'bullmq';

const [role, port, path, concurrency] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const NAME = 'bench';
const BATCH = 1000; // of addBulk
const BATCHES = 2; // at a time
const FLUSH_MS = 5;

const fail = (error) => {
  console.log(`failed ${String(error?.message ?? error).replaceAll('\n', ' ')}`);
  process.exit(1);
};
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

async function produce() {
  const queue = new Queue(NAME, { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  const fd = openSync(path, 'w', 0o600);
  const payload = (number, bytes) => ({ number, pad: 'x'.repeat(Math.max(0, bytes - JSON.stringify({ number, pad: '' }).length)) });

  async function bulk(order, sent) {
    let next = 0;
    const lane = async () => {
      while (next < order.count) {
        const jobs = [];
        const now = process.hrtime.bigint();
        for (; jobs.length < BATCH && next < order.count; next++) {
          sent.writeBigUInt64LE(now, 8 * next);
          jobs.push({ name: 'noop', data: payload(order.first + next, order.bytes) });
        }
        await queue.addBulk(jobs);
      }
    };
    await Promise.all(Array.from({ length: BATCHES }, lane));
  }

  function paced(order, sent) {
    const began = process.hrtime.bigint();
    const all = [];
    return new Promise((resolve, reject) => {
      const turn = () => {
        const now = process.hrtime.bigint();
        for (; all.length < order.count && now >= began + BigInt(Math.floor((all.length * 1e9) / order.rate));) {
          const data = payload(order.first + all.length, order.bytes);
          sent.writeBigUInt64LE(process.hrtime.bigint(), 8 * all.length);
          all.push(queue.add('noop', data));
        }
        if (all.length === order.count) {
          Promise.all(all).then(resolve, reject);
        } else {
          const wait = Number(began + BigInt(Math.floor((all.length * 1e9) / order.rate)) - now) / 1e6;
          setTimeout(turn, Math.max(0, Math.floor(wait)));
        }
      };
      turn();
    });
  }

  for await (const line of createInterface({ input: process.stdin })) {
    const [verb, ...numbers] = line.split(' ');
    const [first, count, bytes, rate] = numbers.map(Number);
    const sent = Buffer.alloc(8 * count);
    const began = process.hrtime.bigint();
    await (verb === 'paced' ? paced : bulk)({ first, count, bytes, rate }, sent);
    const acked = process.hrtime.bigint();
    writeSync(fd, sent, 0, sent.length, 8 * first);
    process.stdout.write(`done ${first} ${count} ${began} ${acked}\n`);
  }
  closeSync(fd);
  await queue.close();
}

async function work() {
  const fd = openSync(path, 'w', 0o600);
  const head = Buffer.alloc(32);
  let entries = Buffer.alloc(16 * 65536);
  let handled = 0;
  let written = 0;
  let completed = 0;
  let completedAt = 0n;
  let told = -1;
  const flush = () => {
    if (told === completed + handled) {
      return;
    }
    told = completed + handled;
    writeSync(fd, entries, 0, 16 * (handled - written), 32 + 16 * written);
    written = handled;
    [1n, BigInt(handled), BigInt(completed), completedAt].forEach((value, i) => head.writeBigUInt64LE(value, 8 * i));
    writeSync(fd, head, 0, 32, 0);
  };
  const worker = new Worker(
    NAME,
    async (job) => {
      const now = process.hrtime.bigint();
      const at = 16 * (handled - written);
      entries.writeBigUInt64LE(BigInt(job.data.number), at);
      entries.writeBigUInt64LE(now, at + 8);
      handled++;
      if (at + 16 === entries.length) {
        flush();
      }
    },
    { connection, concurrency: Number(concurrency), removeOnComplete: { count: 0 } },
  );
  worker.on('completed', () => {
    completed++;
    completedAt = process.hrtime.bigint();
  });
  worker.on('failed', (_job, error) => fail(error));
  worker.on('error', fail);
  await worker.waitUntilReady();
  const timer = setInterval(flush, FLUSH_MS);
  const leave = async () => {
    await worker.close();
    clearInterval(timer);
    flush();
    closeSync(fd);
    process.exit(0);
  };
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
  flush();
}

await (role === 'producer' ? produce() : work());
