// What reaches a model: another's thread as history, another's notes and memories, another's name in a tool's eyes, and
// messages into another's running answer.
import { gzipSync } from 'node:zlib';
import { newId } from '../rig.mjs';
import { ownThread } from '../things.mjs';

const A = '/api/agents/weatherAgent';
const ask = b => `tell all ${b.mark}`;
const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `prompt: ${name}`, thing, send, ...more });

// ---- every route that answers, with every way to name a thread
const routes = {
  generate: `${A}/generate`,
  'generate/vnext': `${A}/generate/vnext`,
  stream: `${A}/stream`,
  'stream/vnext': `${A}/stream/vnext`,
  'stream-until-idle': `${A}/stream-until-idle`,
  network: '/api/agents/routingAgent/network',
  chat: '/chat',
  'chat/agent': '/chat/weatherAgent',
  'my-chat': '/my-chat',
};
const isChat = route => route.endsWith('chat') || route.includes('/chat/') || route === '/chat';
const talk = (b, route, text = ask(b), id = newId('m')) =>
  isChat(route) ? { messages: [{ id, role: 'user', parts: [{ type: 'text', text }] }] } : { messages: [{ role: 'user', content: text }] };

const named = (t, a, b) => ({
  'thread alone': { memory: { thread: t.threadId } },
  'as oneself': { memory: { thread: t.threadId, resource: b } },
  'as the other': { memory: { thread: t.threadId, resource: a } },
  'empty owner': { memory: { thread: t.threadId, resource: '' } },
});
for (const [name, route] of Object.entries(routes))
  for (const how of Object.keys(named({}, '', '')))
    probe(`${name}, ${how}`, 'thread', (b, t, a) => b.post(route, { ...talk(b, route), ...named(t, a.subject, b.subject)[how] }));

const generate = `${A}/generate`;
const odd = (t, a, b) => ({
  'thread object': { memory: { thread: { id: t.threadId }, resource: a } },
  'thread object with an owner': { memory: { thread: { id: t.threadId, resourceId: a, title: 'taken', metadata: { by: 'b' } }, resource: b } },
  'thread object with both': { memory: { thread: { id: t.threadId, resourceId: a }, resource: a } },
  'owner in an array': { memory: { thread: t.threadId, resource: [a] } },
  'owner as object': { memory: { thread: t.threadId, resource: { id: a } } },
  'thread in an array': { memory: { thread: [t.threadId], resource: b } },
  'memory in an array': { memory: [{ thread: t.threadId, resource: a }] },
  'owner null': { memory: { thread: t.threadId, resource: null } },
  'legacy fields': { threadId: t.threadId, resourceId: a, resourceid: a },
  'legacy beside memory': { threadId: t.threadId, resourceId: a, memory: { thread: t.threadId, resource: a, key: 'x' } },
  'snake case': { memory: { thread_id: t.threadId, resource_id: a, threadId: t.threadId, resourceId: a } },
  'reserved context': { requestContext: { mastra__resourceId: a, mastra__threadId: t.threadId }, memory: { thread: t.threadId } },
  'context as entries': { requestContext: [['mastra__resourceId', a], ['mastra__threadId', t.threadId]], memory: { thread: t.threadId } },
  'runtime context': { runtimeContext: { mastra__resourceId: a }, memory: { thread: t.threadId } },
  'options': { memory: { thread: t.threadId, resource: a, options: { lastMessages: 50, readOnly: true } } },
  'prototype': JSON.parse(`{"__proto__": {"memory": {"thread": "${t.threadId}", "resource": "${a}"}}, "constructor": {"prototype": {"memory": {"thread": "${t.threadId}", "resource": "${a}"}}}}`),
});
for (const how of Object.keys(odd({}, '', '')))
  for (const name of ['generate', 'stream'])
    probe(`${name}, ${how}`, 'thread', (b, t, a) => b.post(routes[name], { ...talk(b, ''), ...odd(t, a.subject, b.subject)[how] }));
for (const name of ['generate-legacy', 'stream-legacy', 'streamVNext', 'stream/ui', 'stream/vnext/ui'])
  probe(`${name}`, 'thread', (b, t, a) => b.post(`${A}/${name}`, { ...talk(b, ''), threadId: t.threadId, resourceId: a.subject, resourceid: a.subject, memory: { thread: t.threadId, resource: a.subject } }));
probe('workflow builder', 'thread', (b, t, a) => b.post('/api/editor/workflow-builder/stream', { ...talk(b, ''), memory: { thread: t.threadId, resource: a.subject } }));
probe('thread in the query', 'thread', (b, t, a) => b.post(`${generate}?threadId=${t.threadId}&resourceId=${a.subject}&memory[thread]=${t.threadId}`, { ...talk(b, ''), memory: { thread: t.threadId } }));

// ---- bodies that two parsers read in two ways
const raw = (t, a, b) => {
  const [mine, theirs] = [JSON.stringify({ thread: t.mine ?? 'x', resource: b }), JSON.stringify({ thread: t.threadId, resource: a })];
  const messages = JSON.stringify(talk({ mark: t.mark }, '').messages);
  const whole = `{"messages":${messages},"memory":${theirs}}`;
  return {
    'two memories': [`{"messages":${messages},"memory":${mine},"memory":${theirs}}`],
    'two memories, escaped': [`{"messages":${messages},"memory":${mine},"\\u006demory":${theirs}}`],
    'two owners': [`{"messages":${messages},"memory":{"thread":"${t.threadId}","resource":"${b}","resource":"${a}"}}`],
    'two owners, escaped': [`{"messages":${messages},"memory":{"thread":"${t.threadId}","resource":"${b}","r\\u0065source":"${a}"}}`],
    'escaped key': [`{"messages":${messages},"m\\u0065mory":${theirs}}`],
    'text/plain': [whole, { 'content-type': 'text/plain' }],
    'no content type': [whole, {}],
    'two content types': [whole, { 'content-type': ['text/plain', 'application/json'] }],
    'content type list': [whole, { 'content-type': 'text/plain, application/json' }],
    'problem+json': [whole, { 'content-type': 'application/vnd.x+json' }],
    'content type in capitals': [whole, { 'content-type': 'APPLICATION/JSON; Charset=UTF-8' }],
    'utf-16': [Buffer.from(whole, 'utf16le'), { 'content-type': 'application/json; charset=utf-16le' }],
    'byte order mark': [`\uFEFF${whole}`, { 'content-type': 'application/json' }],
    'form': [`memory[thread]=${t.threadId}&memory[resource]=${a}&messages=${encodeURIComponent(messages)}`, { 'content-type': 'application/x-www-form-urlencoded' }],
    'multipart': [`----probe-0123456789abcdef0123456789\r\ncontent-disposition: form-data; name="memory"\r\n\r\n${theirs}\r\n----probe-0123456789abcdef0123456789\r\ncontent-disposition: form-data; name="messages"\r\n\r\n${messages}\r\n----probe-0123456789abcdef0123456789--\r\n`, { 'content-type': 'multipart/form-data; boundary=--probe-0123456789abcdef0123456789' }],
    'gzip': [gzipSync(whole), { 'content-type': 'application/json', 'content-encoding': 'gzip' }],
    'gzip unsaid': [gzipSync(whole), { 'content-type': 'application/json' }],
    'identity encoding': [whole, { 'content-type': 'application/json', 'content-encoding': 'identity' }],
    'chunked': [whole, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }],
    'rubbish behind': [`${whole} {}`, { 'content-type': 'application/json' }],
    'in an array': [`[${whole}]`, { 'content-type': 'application/json' }],
    'space before': [`\r\n\t ${whole}`, { 'content-type': 'application/json' }],
    'form feed before': [`\f${whole}`, { 'content-type': 'application/json' }],
    'broken utf-8 in a key': [Buffer.concat([Buffer.from(`{"messages":${messages},"memory`), Buffer.from([0xff]), Buffer.from(`":${mine},"memory":${theirs}}`)]), { 'content-type': 'application/json' }],
  };
};
for (const how of Object.keys(raw({}, '', '')))
  probe(`body: ${how}`, 'thread', async (b, t, a) => {
    const mine = await ownThread(b);
    const [body, headers = { 'content-type': 'application/json' }] = raw({ ...t, mine, mark: b.mark }, a.subject, b.subject)[how];
    await b.send('POST', generate, { body, headers });
  });

// ---- ids of messages: they are stored by id alone
for (const [name, route] of Object.entries({ generate, stream: routes.stream, chat: '/chat', 'chat/agent': '/chat/weatherAgent', 'my-chat': '/my-chat', 'stream-until-idle': routes['stream-until-idle'], 'stream/vnext': routes['stream/vnext'] }))
  probe(`${name}, with the id of a message`, 'thread', async (b, t) => {
    const memory = { thread: await ownThread(b), resource: b.subject };
    const parts = [{ type: 'text', text: b.mark }];
    for (const id of [t.messageId, t.answerId])
      await b.post(route, { messages: [isChat(route) ? { id, role: 'user', parts } : { id, role: 'user', content: b.mark }], memory });
  });
probe('generate, ids in input messages of the store\'s shape', 'thread', async (b, t, a) => {
  const memory = { thread: await ownThread(b), resource: b.subject };
  const content = { format: 2, parts: [{ type: 'text', text: b.mark }], content: b.mark };
  for (const more of [{}, { threadId: t.threadId }, { threadId: t.threadId, resourceId: a.subject }, { resourceId: a.subject }])
    await b.post(generate, { messages: [{ id: t.messageId, role: 'user', createdAt: new Date().toISOString(), content, ...more }], memory });
});
probe('generate, ids in context', 'thread', async (b, t, a) => {
  const memory = { thread: await ownThread(b), resource: b.subject };
  await b.post(generate, { ...talk(b, ''), memory, context: [{ id: t.messageId, role: 'user', content: b.mark, threadId: t.threadId, resourceId: a.subject }] });
});
probe('generate, one message that is no list', 'thread', async (b, t) => {
  const memory = { thread: await ownThread(b), resource: b.subject };
  await b.post(generate, { messages: { id: t.messageId, role: 'user', content: b.mark }, memory });
});

// ---- notes and memories of the other
const recall = '/api/agents/recallAgent';
for (const [how, memory] of [
  ['own thread, the other\'s owner', (t, a, b, mine) => ({ thread: mine, resource: a })],
  ['new thread, the other\'s owner', (t, a) => ({ thread: newId('t'), resource: a })],
  ['no thread, the other\'s owner', (t, a) => ({ resource: a })],
  ['the other\'s thread', t => ({ thread: t.threadId })],
  ['scope of its own', (t, a, b, mine) => ({ thread: mine, resource: a, options: { semanticRecall: { topK: 50, messageRange: 5, scope: 'resource' }, workingMemory: { enabled: true, scope: 'resource' }, lastMessages: 50 } })],
])
  for (const route of ['generate', 'stream'])
    probe(`recall by ${route}, ${how}`, 'notes', async (b, t, a) => {
      const mine = await ownThread(b, 'recallAgent');
      await b.post(`${recall}/${route}`, { messages: `tell all apples and pears ${b.mark}`, memory: memory(t, a.subject, b.subject, mine) });
    });
probe('recall by threads, scope in memory options', 'notes', async (b, t) => {
  const memory = { thread: newId('t'), resource: b.subject, options: { semanticRecall: { topK: 50, scope: 'resource', filter: {}, indexName: 'memory_messages_64' } } };
  await b.post(`${recall}/generate`, { messages: `tell all apples and pears ${b.mark}`, memory });
});

// ---- who a tool thinks is asking
const root = { id: 'ROOT-x', sub: 'ROOT-x', email: 'root@example.test' };
const believed = text => /"user":\{"id":"ROOT-x"|"userRoles":\["ROOT-x"\]|"userPermissions":\["ROOT-x"\]|"resourceId":"ROOT-x"/.test(text.replaceAll('\\', ''));
const claims = { user: root, userRoles: ['ROOT-x'], userPermissions: ['ROOT-x'], mastra__resourceId: 'ROOT-x', organizationId: 'ROOT-x' };
const who = b => `call who-am-i {"x": 1} ${b.mark}`;
const impostor = (name, send) => probe(`impostor by ${name}`, 'nothing', send, { learned: believed });
for (const route of ['generate', 'stream', 'stream-until-idle', 'generate/vnext', 'stream/vnext'])
  impostor(`${route}`, b => b.post(`/api/agents/plainAgent/${route}`, { messages: who(b), requestContext: claims }));
for (const route of ['/chat/plainAgent', '/chat'])
  impostor(route, b => b.post(route, { ...talk(b, '/chat', who(b)), requestContext: claims }));
const query = `requestContext=${encodeURIComponent(JSON.stringify(claims))}`;
const encoded = `requestContext=${encodeURIComponent(Buffer.from(JSON.stringify(claims)).toString('base64'))}`;
impostor('the query of generate', b => b.post(`/api/agents/plainAgent/generate?${query}`, { messages: who(b) }));
impostor('the query in base64', b => b.post(`/api/agents/plainAgent/generate?${encoded}`, { messages: who(b) }));
impostor('an encoded name in the query', b => b.post(`/api/agents/plainAgent/generate?request%43ontext=${query.slice(15)}`, { messages: who(b) }));
impostor('a tool', b => b.post('/api/tools/who-am-i/execute', { data: {}, requestContext: claims }));
impostor('a tool, in the query', b => b.post(`/api/tools/who-am-i/execute?${query}`, { data: {} }));
impostor('an agent\'s tool', b => b.post('/api/agents/weatherAgent/tools/who-am-i/execute', { data: {}, requestContext: claims }));
impostor('two contexts', b => b.send('POST', '/api/tools/who-am-i/execute', { body: `{"data":{},"requestContext":{},"requestContext":${JSON.stringify(claims)}}`, headers: { 'content-type': 'application/json' } }));
impostor('an escaped key', b => b.send('POST', '/api/tools/who-am-i/execute', { body: `{"data":{},"requestContext":{"us\\u0065r":${JSON.stringify(root)}}}`, headers: { 'content-type': 'application/json' } }));
impostor('a signal', async b => {
  const memory = { thread: await ownThread(b), resource: b.subject };
  for (const route of ['send-message', 'queue-message', 'signals'])
    await b.post(`${A}/${route}`, { message: who(b), signal: { type: 'user-message', contents: who(b) }, threadId: memory.thread, resourceId: b.subject, ifIdle: { behavior: 'wake', streamOptions: { memory, requestContext: claims } } });
  for (let i = 0; i < 40; i++) {
    const { text } = await b.get(`/api/memory/threads/${memory.thread}/messages?agentId=weatherAgent&resourceId=${b.subject}`);
    if (text.includes('userPermissions')) break;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
});
impostor('a chat without an agent in its path', b => b.post('/my-chat', { ...talk(b, '/chat', who(b)), requestContext: claims }));
impostor('an MCP tool', b => b.post('/api/mcp/weather/tools/get-weather/execute', { data: { city: 'x' }, requestContext: claims }));

// ---- into an answer that is being written
const into = (t, more, b) => ({
  message: b.mark,
  signal: { type: 'user-message', contents: b.mark },
  ...more,
});
const ways = (t, a, b) => ({
  'thread': { threadId: t.threadId },
  'thread, as the other': { threadId: t.threadId, resourceId: a },
  'thread, as oneself': { threadId: t.threadId, resourceId: b },
  'run': { runId: t.runId },
  'run, as the other': { runId: t.runId, resourceId: a },
  'run, own thread': { runId: t.runId, resourceId: b, threadId: `mine-${b}` },
  'own outside, the other inside': { threadId: `mine-${b}`, resourceId: b, ifIdle: { behavior: 'wake', streamOptions: { memory: { thread: t.threadId, resource: a } } } },
  'own outside, the other\'s thread inside': { threadId: `mine-${b}`, resourceId: b, ifIdle: { behavior: 'wake', streamOptions: { memory: { thread: { id: t.threadId } } } } },
  'nothing outside, the other inside': { ifIdle: { streamOptions: { memory: { thread: t.threadId, resource: a } } } },
});
for (const route of ['send-message', 'queue-message', 'signals'])
  for (const how of Object.keys(ways({}, '', '')))
    for (const thing of how.includes('inside') ? ['thread'] : ['running', 'thread'])
      if (thing === 'running' || !how.startsWith('run'))
        probe(`${route} by ${how}, ${thing}`, thing, async (b, t, a) => {
          await b.post(`${A}/${route}`, into(t, ways(t, a.subject, b.subject)[how], b));
          await new Promise(resolve => setTimeout(resolve, 200));
        });
for (const [how, body] of [['', () => ({})], [', as the other', a => ({ resourceId: a })], [', as oneself', (a, b) => ({ resourceId: b })]]) {
  probe(`abort${how}`, 'running', (b, t, a) => b.post(`${A}/threads/abort`, { threadId: t.threadId, ...body(a.subject, b.subject) }));
  probe(`subscribe${how}`, 'running', (b, t, a) => b.post(`${A}/threads/subscribe`, { threadId: t.threadId, ...body(a.subject, b.subject) }, { ms: 400 }));
}
probe('observe', 'running', (b, t) => b.post(`${A}/observe`, { runId: t.runId, offset: 0 }, { ms: 400 }));
probe('signal without memory', 'runningAlone', (b, t) => b.post('/api/agents/plainAgent/signals', { runId: t.runId, signal: { type: 'user-message', contents: b.mark } }));
probe('generate with the other\'s run', 'waiting', (b, t) => b.post(generate, { messages: ask(b), runId: t.runId }));
probe('stream with the other\'s run', 'waiting', (b, t) => b.post(`${A}/stream`, { messages: ask(b), runId: t.runId }));

export default probes;
