// One user against another, by every carrier that is known. Prints {probes: {NAME: {through, said}}, broken}.
//
//   node attack.mjs [PART OF A NAME ...]     environment: see rig.mjs; NAMES=["..."] whole names; ALL=1 harmless ones too
//   PART=1/3       every third of them
//   TOGETHER=8     probes that share a victim, where none is expected to get through
//
// A probe got through when its caller learned or changed something, whatever the status was:
//   learned    an answer holds a canary of anybody's, or an id of the victim's that the request did not hold
//   changed    what the store has of the victim (threads, messages, notes, runs, tasks, schedules, traces) is not what it was
//   spent      a tool that the victim was to approve ran
//   kept       what the store has of the attacker holds a canary
//   crossed    a model was shown a canary together with the attacker's words
import { readFileSync } from 'node:fs';
import { auth, Caller, dump, modelLog, paid, settled, sleep } from './rig.mjs';
import * as things from './things.mjs';
import threads from './probes/threads.mjs';
import prompts from './probes/prompts.mjs';
import runs from './probes/runs.mjs';
import records from './probes/records.mjs';
import doors from './probes/doors.mjs';
import more from './probes/more.mjs';
import shadows from './probes/shadows.mjs';

const [AT_ONCE, TOGETHER] = [Number(process.env.AT_ONCE ?? 8), Number(process.env.TOGETHER ?? 1)];
const { ATTACKER = '{}' } = process.env;
const CANARY = /CANARY-\d+-\d+-x/g;

const wanted = process.argv.slice(2);
// Those that Mastra itself refuses, whoever asks: they prove nothing about what stands before it. ALL=1 runs them too.
const harmless = new Set(JSON.parse(readFileSync(new URL('harmless.json', import.meta.url))));
const all = [...threads, ...prompts, ...runs, ...records, ...doors, ...shadows, ...more];
const names = new Set(all.map(one => one.name));
if (names.size !== all.length) throw new Error('two probes have one name');
const exact = JSON.parse(process.env.NAMES ?? '[]');
const isWanted = name =>
  exact.length ? exact.includes(name) : wanted.length ? wanted.some(part => name.includes(part)) : process.env.ALL || !harmless.has(name);
const [part, parts] = (process.env.PART ?? '1/1').split('/').map(Number);
const chosen = all.filter(one => isWanted(one.name)).filter((one, i) => i % parts === part - 1);
const tag = `${process.pid}`;

/**
 * Let these probes loose on one victim, each with an attacker of its own, and see what became of it. Several at once
 * are for a gateway that lets none through: where something got through, each has to be tried alone.
 */
async function judge(probes, number) {
  const a = new Caller(`ann-${tag}-${number}`);
  const canary = `CANARY-${tag}-${number}-x`;
  const thing = await things[probes[0].thing](a, canary);
  thing.canary = canary;
  const look = async () => (await dump(a.subject, thing.runId)) + ((await thing.state?.()) ?? '');
  const isLive = Boolean(thing.call);
  const before = isLive ? null : await settled(look);
  const attackers = probes.map((probe, i) => {
    const b = new Caller(`bob-${tag}-${number}-${i}`, JSON.parse(ATTACKER));
    b.mark = `MARK-${tag}-${number}-${i}-x`;
    return b;
  });
  await Promise.all(probes.map((probe, i) => probe.send(attackers[i], thing, a)));
  const changed = new Set();
  if (isLive && !thing.isWhole(await thing.call)) changed.add('changed');
  await sleep(80); // a store is written to after the answer
  const after = await settled(look);
  if (isLive ? attackers.some(b => after.includes(b.mark)) : after !== before) changed.add('changed');
  if (isLive && /"aborted"|"canceled"/.test(after)) changed.add('changed');
  if (process.env.SHOW && changed.size) console.error(`${probes.map(one => one.name)}\n  ${before}\n  ${after}`);
  return Promise.all(
    probes.map(async (probe, i) => {
      const b = attackers[i];
      const through = new Set(changed);
      let told = ''; // what the attacker knew beforehand, and may see again
      for (const { text, sent } of b.answers) {
        told += sent;
        if (text.match(CANARY)?.some(found => !sent.includes(found))) through.add('learned');
        if ([a.subject, ...thing.ids].some(id => text.includes(id) && !told.includes(id))) through.add('learned');
        if (probe.learned?.(text, b, a)) through.add('learned');
      }
      if ((await dump(b.subject)).match(CANARY)) through.add('kept');
      return {
        canary, through, mark: b.mark,
        said: b.answers.map(({ status, method, sent, text }) => `${status} ${method} ${sent.slice(0, 200)} -> ${text.slice(0, 200)}`),
      };
    }),
  );
}

/** Probes that share a victim: `TOGETHER` of those that reach for the same kind of thing. */
function groups() {
  const byThing = Map.groupBy ? Map.groupBy(chosen, one => one.thing) : chosen.reduce((all, one) => all.set(one.thing, [...(all.get(one.thing) ?? []), one]), new Map());
  return [...byThing.values()].flatMap(list => Array.from({ length: Math.ceil(list.length / TOGETHER) }, (_, i) => list.slice(i * TOGETHER, (i + 1) * TOGETHER)));
}

const found = {};
const broken = {};
const queue = groups();
let number = 0;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let group = queue.shift(); group; group = queue.shift()) {
      const at = Date.now();
      try {
        const verdicts = await judge(group, ++number);
        if (group.length > 1 && verdicts.some(one => one.through.size)) queue.push(...group.map(one => [one]));
        else group.forEach((probe, i) => (found[probe.name] = verdicts[i]));
      } catch (problem) {
        for (const { name } of group) broken[name] = String(problem?.stack ?? problem).slice(0, 600);
      }
      if (process.env.TIMES) console.error(Date.now() - at, group[0].thing, group.map(one => one.name).join(' | '));
    }
  }),
);

const shown = (await modelLog()).map(one => one.shown);
const spent = (await paid()).join('\n');
for (const { canary, mark, through } of Object.values(found)) {
  if (shown.some(text => text.includes(canary) && text.includes(mark))) through.add('crossed');
  if (spent.includes(canary)) through.add('spent');
}
const probes = Object.fromEntries(
  Object.entries(found).map(([name, { through, said }]) => [name, { through: [...through].sort(), said }]),
);
const throughs = Object.keys(probes).filter(name => probes[name].through.length);
if (process.env.BRIEF) {
  process.stdout.write(JSON.stringify({ auth, probes: chosen.length, through: throughs.length, held: Object.keys(probes).filter(name => !probes[name].through.length), broken }, null, 1), () => process.exit());
} else process.stdout.write(JSON.stringify({ probes, broken }), () => process.exit());
