// Threads, messages and working memory: list, read, write, take over, delete, clone, transfer.
import { newId } from '../rig.mjs';
import { ownThread } from '../things.mjs';

const agent = 'agentId=weatherAgent';
const q = encodeURIComponent;
const base64 = value => Buffer.from(JSON.stringify(value)).toString('base64');
const list = '/api/memory/threads';

/** What a query can say about an owner, spelled in every way that some parser reads. */
const spelled = (a, b) => ({
  'of the other': `resourceId=${q(a)}`,
  'without an owner': '',
  'empty': 'resourceId=',
  'own, then the other': `resourceId=${q(b)}&resourceId=${q(a)}`,
  'the other, then own': `resourceId=${q(a)}&resourceId=${q(b)}`,
  'encoded name': `resource%49d=${q(a)}`,
  'encoded name twice': `resource%2549d=${q(a)}`,
  'own beside an encoded name': `resourceId=${q(b)}&resource%49d=${q(a)}`,
  'array': `resourceId[]=${q(a)}`,
  'index': `resourceId[0]=${q(a)}`,
  'another case': `resourceid=${q(a)}&ResourceId=${q(a)}`,
  'snake': `resource_id=${q(a)}`,
  'semicolon': `x=1;resourceId=${q(a)}`,
  'plus': `+resourceId=${q(a)}&resourceId+=${q(a)}`,
  'null byte': `resourceId%00=${q(a)}`,
  'encoded value': `resourceId=${[...a].map(c => `%${c.charCodeAt(0).toString(16)}`).join('')}`,
  'two question marks': `?resourceId=${q(a)}`,
  'empty pairs': `&&resourceId=${q(a)}&&`,
  'context': `requestContext=${q(JSON.stringify({ mastra__resourceId: a, resourceId: a }))}`,
  'context in base64': `requestContext=${q(base64({ mastra__resourceId: a, user: { id: a, sub: a } }))}`,
  'filter': `filter=${q(JSON.stringify({ resourceId: a }))}&filters[resourceId]=${q(a)}`,
  'undefined': 'resourceId=undefined',
  'all pages': 'perPage=100&page=0&orderBy[field]=createdAt&orderBy[direction]=ASC',
  'metadata': `metadata=${q(JSON.stringify({}))}`,
});

const spellings = Object.keys(spelled('a', 'b'));
const reading = [
  ['threads', t => list, `&${agent}`],
  ['messages', t => `${list}/${t.threadId}/messages`, `&${agent}`],
];

const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `memory: ${name}`, thing, send, ...more });

for (const [what, path, rest] of reading)
  for (const spelling of spellings)
    probe(`${what}, ${spelling}`, 'thread', (b, t, a) => b.get(`${path(t)}?${spelled(a.subject, b.subject)[spelling]}${rest}`));

for (const base of ['/api/memory', '/api/memory/network']) {
  const twin = base.endsWith('network') ? 'network, ' : '';
  const of = t => `${base}/threads/${t.threadId}`;
  probe(`${twin}list of the other`, 'thread', (b, t, a) => b.get(`${base}/threads?${agent}&resourceId=${q(a.subject)}`));
  probe(`${twin}list of all`, 'thread', b => b.get(`${base}/threads?${agent}`));
  for (const [how, query] of [['', () => ''], [', as the other', a => `&resourceId=${q(a.subject)}`], [', as oneself', (a, b) => `&resourceId=${q(b.subject)}`], [', empty owner', () => '&resourceId=']]) {
    probe(`${twin}get${how}`, 'thread', (b, t, a) => b.get(`${of(t)}?${agent}${query(a, b)}`));
    probe(`${twin}messages${how}`, 'thread', (b, t, a) => b.get(`${of(t)}/messages?${agent}${query(a, b)}`));
    probe(`${twin}delete${how}`, 'thread', (b, t, a) => b.del(`${of(t)}?${agent}${query(a, b)}`));
    probe(`${twin}delete messages${how}`, 'thread', (b, t, a) => b.post(`${base}/messages/delete?${agent}${query(a, b)}`, { messageIds: [t.messageId, t.answerId] }));
  }
  for (const [how, owner] of [['', () => ({})], [', as the other', a => ({ resourceId: a.subject })], [', as oneself', (a, b) => ({ resourceId: b.subject })], [', empty owner', () => ({ resourceId: '' })]]) {
    probe(`${twin}rename${how}`, 'thread', (b, t, a) => b.patch(`${of(t)}?${agent}`, { title: 'taken', metadata: { by: 'b' }, ...owner(a, b) }));
    probe(`${twin}take over${how}`, 'thread', async (b, t, a) => {
      await b.post(`${base}/threads?${agent}`, { threadId: t.threadId, title: 'taken', metadata: {}, resourceId: b.subject, ...owner(a, b) });
      await b.get(`${of(t)}/messages?${agent}&resourceId=${q(b.subject)}`);
      await b.post(`/api/memory/threads/${t.threadId}/clone?${agent}`, {});
    });
  }
  probe(`${twin}save into it`, 'thread', (b, t, a) => b.post(`${base}/save-messages?${agent}`, { messages: [message(b, t.threadId, b.subject)] }));
  probe(`${twin}save into it as the other`, 'thread', (b, t, a) => b.post(`${base}/save-messages?${agent}`, { messages: [message(b, t.threadId, a.subject)] }));
  probe(`${twin}save into it behind one's own`, 'thread', async (b, t, a) => {
    const mine = await ownThread(b);
    await b.post(`${base}/save-messages?${agent}`, { messages: [message(b, mine, b.subject), message(b, t.threadId, a.subject)] });
  });
  probe(`${twin}save with the id of a message`, 'thread', async (b, t) => {
    const mine = await ownThread(b);
    await b.post(`${base}/save-messages?${agent}`, { messages: [message(b, mine, b.subject, t.messageId)] });
  });
  for (const [how, ids] of [['text', t => t.messageId], ['objects', t => [{ id: t.messageId }]], ['object', t => ({ id: t.messageId })]])
    probe(`${twin}delete messages by ${how}`, 'thread', (b, t, a) => b.post(`${base}/messages/delete?${agent}&resourceId=${q(a.subject)}`, { messageIds: ids(t), resourceId: a.subject }));
}

function message(b, threadId, resourceId, id = newId('m')) {
  const text = `hello from ${b.mark}`;
  return { id, role: 'user', threadId, resourceId, type: 'text', createdAt: new Date().toISOString(), content: { format: 2, parts: [{ type: 'text', text }], content: text } };
}

// ---- what lies beside a message
for (const [how, include] of [
  ['its id', t => [{ id: t.messageId, withPreviousMessages: 5, withNextMessages: 5 }]],
  ['its id and thread', t => [{ id: t.messageId, threadId: t.threadId, withPreviousMessages: 5, withNextMessages: 5 }]],
])
  for (const base of ['/api/memory', '/api/memory/network'])
    for (const [owner, query] of [['', () => ''], [', as oneself', b => `&resourceId=${q(b.subject)}`]])
      probe(`include by ${how}${owner}, ${base.split('/').at(-1)}`, 'thread', async (b, t) => {
        const mine = await ownThread(b);
        // Mastra hands `include` to its store where the agent has no memory, or none is named.
        for (const by of ['agentId=plainAgent', agent, ''])
          await b.get(`${base}/threads/${mine}/messages?${by}&include=${q(JSON.stringify(include(t)))}${query(b)}`);
      });
probe('messages of two threads', 'thread', async (b, t) => {
  const mine = await ownThread(b);
  for (const both of [`${mine},${t.threadId}`, `${mine}%2C${t.threadId}`, `${mine}%2F..%2F${t.threadId}`, `${mine}/../${t.threadId}`, `${mine}%00${t.threadId}`])
    await b.get(`${list}/${both}/messages?${agent}&resourceId=${q(b.subject)}`);
  await b.get(`${list}/${mine}/messages?${agent}&threadId=${t.threadId}&filter=${q(JSON.stringify({ threadId: t.threadId, resourceId: undefined }))}`);
});

// ---- clone, transfer
for (const [how, body] of [
  ['', () => ({})],
  [' for oneself', (a, b) => ({ resourceId: b.subject })],
  [' as the other', a => ({ resourceId: a.subject })],
  [' under a new id', (a, b) => ({ resourceId: b.subject, newThreadId: newId('clone'), options: { messageLimit: 100 } })],
]) {
  probe(`clone${how}`, 'thread', async (b, t, a) => {
    const { json } = await b.post(`${list}/${t.threadId}/clone?${agent}`, body(a, b));
    if (json?.thread?.id) await b.get(`${list}/${json.thread.id}/messages?${agent}`);
  });
  probe(`transfer${how}`, 'thread', (b, t, a) => b.post(`${list}/${t.threadId}/transfer?${agent}`, { resourceId: b.subject, ...body(a, b) }));
}
probe('clone over a thread', 'thread', async (b, t) => {
  const mine = await ownThread(b);
  await b.post(`${list}/${mine}/clone?${agent}`, { newThreadId: t.threadId, resourceId: b.subject });
});
probe('transfer a thread of one\'s own to the other', 'thread', async (b, t, a) => {
  const mine = await ownThread(b);
  await b.post(`${list}/${mine}/transfer?${agent}`, { resourceId: a.subject });
});
probe('rename for the other', 'thread', async (b, t, a) => {
  const mine = await ownThread(b);
  await b.patch(`${list}/${mine}?${agent}`, { title: b.mark, resourceId: a.subject });
});
probe('create for the other', 'thread', (b, t, a) => b.post(`${list}?${agent}`, { resourceId: a.subject, title: b.mark }));
probe('create for the other, network', 'thread', (b, t, a) => b.post(`/api/memory/network/threads?${agent}`, { resourceId: a.subject, title: b.mark, threadId: newId('t') }));

// ---- paths
for (const [how, path] of [
  ['encoded letter', t => `/api/memory/thread%73/${t.threadId}`],
  ['encoded id', t => `${list}/%74${t.threadId.slice(1)}`],
  ['encoded prefix', t => `/%61pi/memory/threads/${t.threadId}`],
  ['dot segments', t => `/api/agents/../memory/threads/${t.threadId}`],
  ['encoded dot segments', t => `/api/agents/%2e%2e/memory/threads/${t.threadId}`],
  ['backslashes', t => `/api\\memory\\threads\\${t.threadId}`],
  ['a closing slash', t => `${list}/${t.threadId}/`],
  ['two slashes', t => `/api//memory/threads/${t.threadId}`],
  ['another case', t => `/api/Memory/threads/${t.threadId}`],
  ['encoded slash', t => `/api/memory/threads%2F${t.threadId}`],
  ['a parameter', t => `/api/memory;x=1/threads/${t.threadId}`],
  ['a fragment', t => `${list}/${t.threadId}#/api/health`],
]) {
  probe(`get, ${how}`, 'thread', (b, t) => b.get(`${path(t)}?${agent}`));
  probe(`delete, ${how}`, 'thread', (b, t) => b.del(`${path(t)}?${agent}`));
  probe(`transfer, ${how}`, 'thread', (b, t) => b.post(`${path(t)}/transfer?${agent}`.replace('//transfer', '/transfer/'), { resourceId: b.subject }));
}
probe('transfer, encoded', 'thread', (b, t) => b.post(`${list}/${t.threadId}/%74ransfer?${agent}`, { resourceId: b.subject }));
probe('clone, encoded', 'thread', (b, t) => b.post(`${list}/${t.threadId}/%63lone?${agent}`, { resourceId: b.subject }));

// ---- methods
probe('methods that claim to be others', 'thread', async (b, t) => {
  for (const name of ['x-http-method-override', 'x-method-override', 'x-http-method'])
    for (const method of ['DELETE', 'PATCH']) {
      const headers = { [name]: method };
      await b.get(`${list}/${t.threadId}?${agent}`, { headers });
      await b.post(`${list}/${t.threadId}?${agent}&_method=${method}`, { title: 'taken', _method: method }, { headers });
    }
});
probe('HEAD, OPTIONS, TRACE, PUT', 'thread', async (b, t) => {
  for (const method of ['HEAD', 'OPTIONS', 'TRACE', 'PUT', 'QUERY', 'LINK'])
    await b.send(method, `${list}/${t.threadId}?${agent}`, method === 'PUT' ? { json: { title: 'taken' } } : {});
});
probe('GET with a body', 'thread', (b, t, a) => b.get(`${list}?${agent}`, { json: { resourceId: a.subject } }));
probe('DELETE with a body', 'thread', (b, t, a) => b.send('DELETE', `${list}/${t.threadId}?${agent}`, { json: { resourceId: a.subject } }));

// ---- headers that some server believes
probe('identity headers', 'thread', (b, t, a) => {
  const names = ['x-user-id', 'x-resource-id', 'x-mastra-resource-id', 'x-auth-sub', 'x-forwarded-user', 'mastra-resource-id'];
  return b.get(`${list}?${agent}&resourceId=`, { headers: Object.fromEntries(names.map(name => [name, a.subject])) });
});
probe('playground headers', 'thread', (b, t) => b.get(`${list}/${t.threadId}?${agent}`, { headers: { 'x-mastra-dev-playground': 'true', 'x-mastra-client-type': 'studio' } }));

// ---- working memory, and what is recalled by meaning
for (const [how, query, body] of [
  ['', () => '', () => ({})],
  [', as the other', a => `&resourceId=${q(a.subject)}`, a => ({ resourceId: a.subject })],
  [', as oneself', (a, b) => `&resourceId=${q(b.subject)}`, (a, b) => ({ resourceId: b.subject })],
]) {
  probe(`working memory${how}`, 'notes', (b, t, a) => b.get(`${list}/${t.threadId}/working-memory?agentId=recallAgent${query(a, b)}`));
  probe(`write working memory${how}`, 'notes', (b, t, a) => b.post(`${list}/${t.threadId}/working-memory?agentId=recallAgent`, { workingMemory: `# taken ${b.mark}`, ...body(a, b) }));
  probe(`working memory of the other by one's own thread${how}`, 'notes', async (b, t, a) => {
    const mine = await ownThread(b, 'recallAgent');
    await b.get(`${list}/${mine}/working-memory?agentId=recallAgent${query(a, b)}`);
    await b.post(`${list}/${mine}/working-memory?agentId=recallAgent`, { workingMemory: `# taken ${b.mark}`, ...body(a, b) });
  });
  probe(`search${how}`, 'notes', (b, t, a) => b.get(`/api/memory/search?agentId=recallAgent&searchQuery=apples%20and%20pears&limit=50${query(a, b)}`));
  probe(`search in it${how}`, 'notes', (b, t, a) => b.get(`/api/memory/search?agentId=recallAgent&searchQuery=apples%20and%20pears&limit=50&threadId=${t.threadId}${query(a, b)}`));
  probe(`status${how}`, 'notes', (b, t, a) => b.get(`/api/memory/status?agentId=recallAgent&threadId=${t.threadId}${query(a, b)}`));
  probe(`observations${how}`, 'notes', async (b, t, a) => {
    await b.get(`/api/memory/observational-memory?agentId=recallAgent&threadId=${t.threadId}${query(a, b)}`);
    await b.post('/api/memory/observational-memory/buffer-status', { agentId: 'recallAgent', threadId: t.threadId, ...body(a, b) });
  });
}
probe('search with a scope of its own', 'notes', async (b, t, a) => {
  const config = q(JSON.stringify({ semanticRecall: { scope: 'resource', topK: 50, filter: {} }, resourceId: a.subject, lastMessages: 50 }));
  await b.get(`/api/memory/search?agentId=recallAgent&searchQuery=apples&memoryConfig=${config}&resourceId=${q(b.subject)}`);
  await b.get(`/api/memory/search?agentId=recallAgent&searchQuery=apples&memoryConfig=${config}&threadId=${t.threadId}&resourceId=${q(b.subject)}`);
});
probe('working memory, config in the query', 'notes', async (b, t, a) => {
  const mine = await ownThread(b, 'recallAgent');
  const config = q(JSON.stringify({ workingMemory: { enabled: true, scope: 'resource' }, resourceId: a.subject }));
  await b.get(`${list}/${mine}/working-memory?agentId=recallAgent&memoryConfig=${config}`);
});

export default probes;
