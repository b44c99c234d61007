// One user against another, by every carrier that is known. Prints {probes: {NAME: {through: [...], statuses}}, smuggled, crossed}.
//
//   node attack.mjs [PART OF A NAME ...]     environment: see rig.mjs; NAMES=["..."] whole names
//
// A probe got through when its caller learned or changed something, whatever the status was:
//   learned    an answer holds a canary of anybody's, or an id of the victim's that the request did not hold
//   changed    what Mastra has of the victim (threads, messages, notes, runs, tasks, schedules, traces) is not what it was
//   spent      a tool that the victim was to approve ran
//   kept       what Mastra has of the attacker holds a canary
//   crossed    a model was shown a canary together with the attacker's words
import { readFileSync } from 'node:fs';
import { auth, Caller, dump, modelLog, paid, settled, sleep } from './rig.mjs';
import * as things from './things.mjs';
import threads from './probes/threads.mjs';
import prompts from './probes/prompts.mjs';
import runs from './probes/runs.mjs';
import records from './probes/records.mjs';
import doors from './probes/doors.mjs';
import shadows from './probes/shadows.mjs';

const AT_ONCE = Number(process.env.AT_ONCE ?? 8);
const { ATTACKER = '{}' } = process.env;
const CANARY = /CANARY-\d+-\d+-x/g;

const wanted = process.argv.slice(2);
// Those that Mastra itself refuses, whoever asks: they prove nothing about what stands before it. ALL=1 runs them too.
const harmless = new Set(JSON.parse(readFileSync(new URL('harmless.json', import.meta.url))));
const all = [...threads, ...prompts, ...runs, ...records, ...doors, ...shadows];
const names = new Set(all.map(one => one.name));
if (names.size !== all.length) throw new Error('two probes have one name');
const exact = JSON.parse(process.env.NAMES ?? '[]');
const isWanted = name =>
  exact.length ? exact.includes(name) : wanted.length ? wanted.some(part => name.includes(part)) : process.env.ALL || !harmless.has(name);
const chosen = all.filter(one => isWanted(one.name));
const tag = `${process.pid}`;

async function judge(probe, number) {
  const [a, b] = [new Caller(`ann-${tag}-${number}`), new Caller(`bob-${tag}-${number}`, JSON.parse(ATTACKER))];
  const canary = `CANARY-${tag}-${number}-x`;
  b.mark = `MARK-${tag}-${number}-x`;
  const thing = await things[probe.thing](a, canary);
  const look = () => dump(a.subject, thing.runId);
  const isLive = Boolean(thing.call);
  const before = isLive ? null : await settled(look);
  await probe.send(b, thing, a);
  const answers = b.answers;
  const through = new Set();
  for (const { text, sent } of answers) {
    if (text.match(CANARY)?.some(found => !sent.includes(found))) through.add('learned');
    if ([a.subject, ...thing.ids].some(id => text.includes(id) && !sent.includes(id))) through.add('learned');
    if (probe.learned?.(text, b, a)) through.add('learned');
  }
  if (isLive) {
    const whole = await thing.call;
    if (!thing.isWhole(whole)) through.add('changed');
  }
  if (!isLive) {
    await sleep(80);
    const after = await settled(look);
    if (after !== before) through.add('changed');
    if (process.env.SHOW && after !== before) console.error(`${probe.name}\n  ${before}\n  ${after}`);
  } else if ((await settled(look)).includes(b.mark)) through.add('changed');
  if (isLive && /"aborted"|"canceled"/.test(await look())) through.add('changed');
  if ((await dump(b.subject)).match(CANARY)) through.add('kept');
  return {
    number, through,
    said: answers.map(({ status, method, sent, text }) => `${status} ${method} ${sent.slice(0, 200)} -> ${text.slice(0, 200)}`),
    statuses: answers.map(one => one.status),
  };
}

const found = {};
const queue = chosen.map((probe, i) => [probe, i + 1]);
const broken = {};
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [probe, number] = next;
      try {
        const at = Date.now();
        found[probe.name] = await judge(probe, number);
        if (process.env.TIMES) console.error(Date.now() - at, probe.name);
      } catch (problem) {
        broken[probe.name] = String(problem?.stack ?? problem).slice(0, 600);
      }
    }
  }),
);

const shown = (await modelLog()).map(one => one.shown);
const spent = (await paid()).join('\n');
for (const one of Object.values(found)) {
  const [canary, mark] = [`CANARY-${tag}-${one.number}-x`, `MARK-${tag}-${one.number}-x`];
  if (shown.some(text => text.includes(canary) && text.includes(mark))) one.through.add('crossed');
  if (spent.includes(canary)) one.through.add('spent');
}
const probes = Object.fromEntries(
  Object.entries(found).map(([name, { through, statuses, said }]) => [name, { through: [...through].sort(), statuses, said }]),
);
const throughs = Object.keys(probes).filter(name => probes[name].through.length);
if (process.env.BRIEF) {
  console.log(JSON.stringify({ auth, probes: chosen.length, through: throughs.length, held: Object.keys(probes).filter(name => !probes[name].through.length), broken }, null, 1));
} else console.log(JSON.stringify({ probes, broken }));
process.exit();
