// What users of Mastra do, through the real @mastra/client-js. Prints one JSON object: {results: {CHECK: ...}, failed: [CHECK]}.
//
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... node client.mjs [CHECK ...]
//
//   UPSTREAM    Mastra's own address, where the checks look at what the model did (default: BASE_URL)
//   ORIGIN      the page of the check `preflight` (default http://app.example)
// Every request carries its check's name in the header x-check, so that a test sees which of them reached Mastra.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { MastraClient } from '@mastra/client-js';

const { BASE_URL: baseUrl, TOKEN: token, UPSTREAM: upstream = baseUrl, ORIGIN: origin = 'http://app.example' } = process.env;
const agentId = 'weatherAgent';
const PATIENCE_MS = 10_000;

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

// ---- a client that counts its attempts -------------------------------------------

const wrongToken = () => token.slice(0, -4) + [...token.slice(-4)].map(c => (c === 'A' ? 'B' : 'A')).join('');
const headersOf = (name, bearer) => ({ 'x-check': name, ...(bearer && { Authorization: `Bearer ${bearer}` }) });

/** Returns a client with its own number of retries, and the statuses it has met. */
function connect(name, { bearer = token, ...options } = {}) {
  const statuses = [];
  const counted = async (url, init) => {
    const answer = await fetch(url, init);
    statuses.push(answer.status);
    return answer;
  };
  const client = new MastraClient({ baseUrl, headers: headersOf(name, bearer), fetch: counted, ...options });
  return { client, agent: client.getAgent(agentId), statuses };
}

/** Returns the chunks of an agent's answer, each with its type and the time it came. */
async function stream(agent, text, options = {}, onDelta = () => {}) {
  const chunks = [];
  const answer = await agent.stream(text, options);
  await answer.processDataStream({
    onChunk: async chunk => {
      chunks.push({ type: chunk.type, at: performance.now() });
      if (chunk.type === 'text-delta') onDelta();
    },
  });
  return chunks;
}

const typesOf = chunks => [...new Set(chunks.map(chunk => chunk.type))];

/** Returns the gaps between these chunks, in milliseconds, and whether they came one by one rather than in bunches. */
function gapsOf(chunks) {
  const gaps = chunks.slice(1).map((chunk, i) => chunk.at - chunks[i].at);
  const spread = gaps.filter(gap => gap >= 20).length / gaps.length;
  return { gapMedianMs: Math.round(median(gaps)), oneByOne: spread > 0.7 };
}

/** Returns what `call` throws, the statuses it met, and how often it tried. */
async function refusal(statuses, call) {
  const problem = await call().then(
    () => ({ message: 'was let in' }),
    e => e,
  );
  const { status, message, body } = problem;
  return { ok: status === 401 && statuses.length === 1, status, body, message, attempts: statuses.length };
}

/** Returns the model's record of the call whose text has this mark, once `holds` says so. */
async function modelRecord(mark, holds) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(10)) {
    const log = await (await fetch(`${upstream}/rig/model-log`)).json();
    const record = log.find(one => one.text.includes(mark));
    if (record && holds(record)) return record;
  }
  throw new Error(`the model has no such record of ${mark}`);
}

/** Returns what became of a call that its client left: did the model stop, and how soon after? Same clock on both ends. */
async function departure(mark, leftAt, call) {
  const error = await call.then(() => null, e => e.name);
  const { end, words, abortedAt } = await modelRecord(mark, one => one.end);
  return { ok: end === 'aborted' && error !== null, error, end, words, stoppedAfterMs: abortedAt && abortedAt - leftAt() };
}

// ---- the checks --------------------------------------------------------------------

const checks = {
  async listAgents(name) {
    const agents = await connect(name).client.listAgents();
    return { ok: agentId in agents };
  },

  async generate(name) {
    const { text } = await connect(name).agent.generate('n=3 ms=1');
    return { ok: text === 'w0 w1 w2 ', text };
  },

  async stream(name) {
    const chunks = await stream(connect(name).agent, 'hello');
    const deltas = chunks.filter(chunk => chunk.type === 'text-delta');
    const gaps = gapsOf(deltas);
    return { ok: gaps.oneByOne && chunks.at(-1).type === 'finish', ...gaps, deltas: deltas.length, types: typesOf(chunks) };
  },

  async streamTool(name) {
    const types = typesOf(await stream(connect(name).agent, 'tool: Paris'));
    return { ok: ['tool-call', 'tool-result', 'finish'].every(type => types.includes(type)), types };
  },

  async toolExecute(name) {
    const result = await connect(name).client.getTool('get-weather').execute({ data: { city: 'Oslo' } });
    return { ok: result.tempC === 21 && result.city === 'Oslo', result };
  },

  // JSON records, each ended by the byte 0x1E
  async workflowStream(name) {
    const run = await connect(name).client.getWorkflow('weatherWorkflow').createRun();
    const chunks = [];
    for await (const chunk of await run.stream({ inputData: { city: 'paris' } })) {
      chunks.push({ type: chunk.type, at: performance.now() });
    }
    const ticks = gapsOf(chunks.filter(chunk => chunk.type === 'workflow-step-output'));
    return { ok: ticks.oneByOne && chunks.at(-1).type === 'workflow-finish', ...ticks, types: typesOf(chunks) };
  },

  async memory(name) {
    const { client, agent } = connect(name);
    const [resourceId, threadId] = [`r-${randomUUID()}`, `t-${randomUUID()}`];
    const made = await client.createMemoryThread({ resourceId, threadId, title: 'a thread', agentId });
    await stream(agent, 'n=2 ms=5', { memory: { thread: threadId, resource: resourceId } });
    let roles = [];
    // Mastra saves messages after the stream's end.
    for (const end = Date.now() + PATIENCE_MS; roles.length < 2 && Date.now() < end; await sleep(10)) {
      roles = (await client.listThreadMessages(threadId, { agentId })).messages.map(message => message.role);
    }
    const { threads } = await client.listMemoryThreads({ resourceId: made.resourceId, agentId });
    await client.getMemoryThread({ threadId, agentId }).delete();
    const { threads: left } = await client.listMemoryThreads({ resourceId: made.resourceId, agentId });
    const has = list => list.some(thread => thread.id === threadId);
    return { ok: roles.join() === 'user,assistant' && has(threads) && !has(left), roles, resourceId: made.resourceId };
  },

  // Streamable HTTP with a session, by hand: initialize, call, end
  async mcp(name) {
    const url = `${baseUrl}/api/mcp/weather/mcp`;
    const headers = { ...headersOf(name, token), 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const post = (message, more = {}) =>
      fetch(url, { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify({ jsonrpc: '2.0', ...message }) });
    const clientInfo = { name: 'test', version: '1' };
    const opened = await post({ id: 1, method: 'initialize', params: { protocolVersion: '2025-03-26', capabilities: {}, clientInfo } });
    await opened.text();
    const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') };
    const noted = await post({ method: 'notifications/initialized' }, session);
    await noted.text();
    const called = await post({ id: 2, method: 'tools/call', params: { name: 'get-weather', arguments: { city: 'Rome' } } }, session);
    const text = await called.text();
    const ended = await fetch(url, { method: 'DELETE', headers: { ...headers, ...session } });
    const statuses = [opened, noted, called, ended].map(answer => answer.status);
    return { ok: statuses.join() === '200,202,200,200' && text.includes('Rome'), statuses };
  },

  async upload(name) {
    const audio = randomBytes(1_000_000);
    const body = new FormData();
    body.set('audio', new Blob([audio]), 'a.webm');
    const url = `${baseUrl}/api/agents/${agentId}/voice/listen`;
    const answer = await fetch(url, { method: 'POST', body, headers: headersOf(name, token) });
    const text = await answer.text();
    return { ok: text.includes(createHash('sha256').update(audio).digest('hex')), status: answer.status };
  },

  async abort(name) {
    const departing = new AbortController();
    const { agent } = connect(name, { abortSignal: departing.signal });
    const mark = randomUUID();
    let [deltas, leftAt] = [0, null];
    const call = stream(agent, `${mark} n=60 ms=50`, {}, () => {
      if (++deltas !== 4) return;
      leftAt = Date.now();
      departing.abort();
    });
    return departure(mark, () => leftAt, call);
  },

  // Here the server has not answered a byte yet.
  async abortGenerate(name) {
    const departing = new AbortController();
    const { agent } = connect(name, { abortSignal: departing.signal });
    const mark = randomUUID();
    const call = agent.generate(`${mark} n=60 ms=50`);
    call.catch(() => {}); // looked at below
    await modelRecord(mark, record => record.words >= 2);
    const leftAt = Date.now();
    departing.abort();
    return departure(mark, () => leftAt, call);
  },

  async preflight(name) {
    const answer = await fetch(`${baseUrl}/api/agents/${agentId}/stream`, {
      method: 'OPTIONS',
      headers: {
        'x-check': name,
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    });
    const headers = Object.fromEntries([...answer.headers].filter(([key]) => key.startsWith('access-control')));
    const allowed = (headers['access-control-allow-headers'] ?? '').toLowerCase();
    const ok = answer.ok && 'access-control-allow-origin' in headers && allowed.includes('authorization');
    return { ok, status: answer.status, headers };
  },

  async wrongToken(name) {
    const { client, statuses } = connect(name, { bearer: wrongToken() });
    return refusal(statuses, () => client.listAgents());
  },

  async noToken(name) {
    const { client, statuses } = connect(name, { bearer: null });
    return refusal(statuses, () => client.listAgents());
  },

  async wrongTokenStream(name) {
    const { agent, statuses } = connect(name, { bearer: wrongToken() });
    return refusal(statuses, () => stream(agent, 'n=1'));
  },

  // The client tries a 5xx three times more; a stream that fails on its way says so in a chunk.
  async modelError(name) {
    const { agent, statuses } = connect(name);
    const message = await agent.generate('boom').then(
      () => 'no error',
      e => e.message,
    );
    const types = typesOf(await stream(connect(name).agent, 'midboom'));
    const ok = statuses.join() === '500,500,500,500' && message.includes('the model failed') && types.includes('error');
    return { ok, statuses, message, types };
  },
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(checks);
const results = {};
for (const name of wanted) {
  try {
    results[name] = await checks[name](name);
  } catch (problem) {
    results[name] = { ok: false, problem: String(problem?.stack ?? problem) };
  }
}
console.log(JSON.stringify({ results, failed: wanted.filter(name => !results[name].ok) }, null, 1));
