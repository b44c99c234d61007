// What no list of carriers names: what Mastra's own memory believes, traces that are joined, stores beside the store.
import { Caller, newId, sleep } from '../rig.mjs';
import { ownThread } from '../things.mjs';

const q = encodeURIComponent;
const A = '/api/agents/weatherAgent';
const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `more: ${name}`, thing, send, ...more });
const ask = b => `tell all ${b.mark}`;

// ---- the context by which an agent tells its memory whose it is
const believed = (t, a) => ({ MastraMemory: { thread: { id: t.threadId, resourceId: a.subject }, resourceId: a.subject, memoryConfig: { lastMessages: 20 } } });
for (const route of ['generate', 'stream', 'stream-until-idle'])
  for (const agent of ['weatherAgent', 'plainAgent'])
    probe(`memory's context by ${route}, ${agent}`, 'thread', (b, t, a) => b.post(`/api/agents/${agent}/${route}`, { messages: ask(b), requestContext: believed(t, a) }));
probe('memory\'s context in a query', 'thread', (b, t, a) => b.post(`${A}/generate?requestContext=${q(JSON.stringify(believed(t, a)))}`, { messages: ask(b) }));
probe('memory\'s context of working memory', 'notes', (b, t, a) => b.post('/api/agents/recallAgent/generate', { messages: `tell all apples ${b.mark}`, requestContext: believed(t, a) }));
probe('memory inherited', 'thread', (b, t, a) => b.post(`${A}/generate`, { messages: ask(b), requestContext: { mastra__inheritedMemory: { threadId: t.threadId, resourceId: a.subject }, mastra__threadId: t.threadId } }));

// ---- traces
for (const [how, options] of [
  ['as a second root', t => ({ traceId: t.traceId })],
  ['below its root', t => ({ traceId: t.traceId, parentSpanId: t.spanId })],
  ['by metadata', (t, a) => ({ metadata: { resourceId: a.subject, threadId: t.threadId }, requestContextKeys: ['user'] })],
])
  for (const [door, send] of [
    ['generate', (b, tracingOptions) => b.post(`${A}/generate`, { messages: b.mark, tracingOptions })],
    ['a workflow', (b, tracingOptions) => b.post(`/api/workflows/tickWorkflow/start-async?runId=${newId('run')}`, { inputData: { note: b.mark, ticks: 1 }, tracingOptions, resourceId: b.subject })],
  ])
    probe(`trace joined ${how}, by ${door}`, 'trace', async (b, t, a) => {
      await send(b, options(t, a));
      await sleep(150);
      await b.get(`/api/observability/traces/${t.traceId}`);
      await b.get('/api/observability/traces?perPage=50');
    });

// ---- ids that a path has to encode, and stores beside the store
probe('odd id taken over', 'oddThread', async (b, t) => {
  await b.post('/api/memory/threads?agentId=weatherAgent', { threadId: t.threadId, resourceId: b.subject, title: 'taken' });
  await b.post('/api/v1/conversations', { agent_id: 'weatherAgent', conversation_id: t.threadId, title: 'taken' });
  await b.get(`/api/memory/threads/${q(t.threadId)}?agentId=weatherAgent`);
});
probe('odd id by network', 'oddThread', (b, t) => b.post('/api/agents/routingAgent/network', { messages: ask(b), memory: { thread: t.threadId, resource: b.subject } }));
const island = 'agentId=islandAgent';
probe('island taken over', 'island', async (b, t) => {
  await b.post(`/api/memory/threads?${island}`, { threadId: t.threadId, resourceId: b.subject, title: 'taken', metadata: {} });
  await b.get(`/api/memory/threads/${t.threadId}?${island}&resourceId=${q(b.subject)}`);
});
probe('island taken over, two agents', 'island', async (b, t) => {
  await b.post(`/api/memory/threads?agentId=weatherAgent&${island}`, { threadId: t.threadId, resourceId: b.subject, title: 'taken' });
  await b.post(`/api/memory/threads?${island}&agentId=weatherAgent`, { threadId: t.threadId, resourceId: b.subject, title: 'taken' });
  await b.get(`/api/memory/threads/${t.threadId}?${island}`);
});
probe('island taken over, encoded agent', 'island', async (b, t) => {
  await b.post(`/api/memory/threads?agent%49d=islandAgent`, { threadId: t.threadId, resourceId: b.subject, title: 'taken' });
  await b.get(`/api/memory/threads/${t.threadId}?${island}&resourceId=${q(b.subject)}`);
});
probe('island taken over by network', 'island', (b, t) => b.post(`/api/memory/network/threads?${island}`, { threadId: t.threadId, resourceId: b.subject, title: 'taken' }));
probe('island taken over by a conversation', 'island', async (b, t) => {
  await b.post('/api/v1/conversations', { agent_id: 'islandAgent', conversation_id: t.threadId, title: 'taken' });
  await b.get(`/api/v1/conversations/${t.threadId}/items`);
});
probe('island, ids of messages', 'island', async (b, t) => {
  const mine = await ownThread(b, 'islandAgent');
  for (const id of [t.messageId, t.answerId])
    await b.post('/api/agents/islandAgent/generate', { messages: [{ id, role: 'user', content: b.mark }], memory: { thread: mine, resource: b.subject } });
});
probe('island, saved with the id of a message', 'island', async (b, t) => {
  const mine = await ownThread(b, 'islandAgent');
  const content = { format: 2, parts: [{ type: 'text', text: b.mark }], content: b.mark };
  await b.post(`/api/memory/save-messages?${island}`, { messages: [{ id: t.messageId, role: 'user', threadId: mine, resourceId: b.subject, type: 'text', createdAt: new Date().toISOString(), content }] });
});
probe('island, a2a', 'island', async (b, t) => {
  for (const more of [{}, { metadata: { resourceId: b.subject } }])
    await b.post('/api/a2a/islandAgent', { jsonrpc: '2.0', id: '1', method: 'message/send', params: { message: { kind: 'message', messageId: newId('m'), role: 'user', contextId: t.threadId, parts: [{ kind: 'text', text: ask(b) }] }, ...more } });
});
probe('island, a response in it', 'island', (b, t) => b.post('/api/v1/responses', { agent_id: 'islandAgent', conversation_id: t.threadId, input: ask(b), store: true }));
for (const [what, send] of [['get', (b, t) => b.get(`/api/memory/threads/${t.threadId}?${island}`)], ['messages', (b, t) => b.get(`/api/memory/threads/${t.threadId}/messages?${island}`)], ['delete', (b, t) => b.del(`/api/memory/threads/${t.threadId}?${island}`)], ['list', b => b.get(`/api/memory/threads?${island}`)], ['delete messages', (b, t) => b.post(`/api/memory/messages/delete?${island}`, { messageIds: [t.messageId] })], ['generate', (b, t) => b.post('/api/agents/islandAgent/generate', { messages: ask(b), memory: { thread: t.threadId, resource: b.subject } })], ['signal', (b, t) => b.post('/api/agents/islandAgent/send-message', { message: b.mark, threadId: t.threadId, resourceId: b.subject })]])
  probe(`island, ${what}`, 'island', send);

// ---- a queue of signals, and what they carry
for (const branch of ['ifActive', 'ifIdle'])
  for (const [how, options] of [['memory', (t, a) => ({ memory: { thread: t.threadId, resource: a.subject } })], ['context', (t, a) => ({ requestContext: believed(t, a) })], ['run', t => ({ runId: t.runId ?? 'x' })]])
    probe(`signal, ${branch}, ${how}`, 'thread', async (b, t, a) => {
      const mine = await ownThread(b);
      for (const route of ['send-message', 'queue-message', 'signals'])
        await b.post(`${A}/${route}`, { message: ask(b), signal: { type: 'user-message', contents: ask(b), attributes: { threadId: t.threadId } }, threadId: mine, resourceId: b.subject, [branch]: { behavior: branch === 'ifIdle' ? 'wake' : 'deliver', attributes: { threadId: t.threadId, resourceId: a.subject }, streamOptions: options(t, a) } });
      await sleep(250);
      await b.get(`/api/memory/threads/${mine}/messages?agentId=weatherAgent`);
    });

// ---- tools and processors
probe('processor with another\'s memory', 'thread', async (b, t, a) => {
  const { json } = await b.get('/api/processors');
  for (const id of Object.keys(json ?? {}).slice(0, 8))
    await b.post(`/api/processors/${q(id)}/execute`, { phase: 'input', messages: [{ id: newId('m'), role: 'user', createdAt: new Date().toISOString(), content: { format: 2, parts: [{ type: 'text', text: b.mark }] }, threadId: t.threadId, resourceId: a.subject }], requestContext: believed(t, a) });
});
probe('socket of a browser', 'thread', async (b, t) => {
  const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  await b.get(`/browser/weatherAgent/stream?threadId=${t.threadId}`, { headers, ms: 400 });
  await b.get(`/api/agents/weatherAgent/browser/session?threadId=${t.threadId}`);
  await b.post('/api/agents/weatherAgent/browser/close', { threadId: t.threadId });
});

// ---- who makes it first
for (const [how, path, body] of [
  ['thread', '/api/memory/threads?agentId=weatherAgent', (threadId, resourceId) => ({ threadId, resourceId, title: 'mine' })],
  ['thread and conversation', '/api/v1/conversations', (id, resource_id) => ({ agent_id: 'weatherAgent', conversation_id: id, resource_id })],
])
  probe(`${how} made by two at once`, 'nothing', async b => {
    for (let round = 0; round < 10; round++) {
      const [first, id] = [new Caller(newId('first')), newId('t')];
      const made = await Promise.all([
        first.post('/api/memory/threads?agentId=weatherAgent', { threadId: id, resourceId: first.subject, title: 'mine' }),
        b.post(path, body(id, b.subject)),
        b.post(path, body(id, b.subject)),
      ]);
      if (made[0].status === 200 && made[1].status + made[2].status < 600) b.answers.push({ text: 'both made it', sent: '' });
    }
  }, { learned: text => text === 'both made it' });

export default probes;
