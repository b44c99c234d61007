// Other doors to the same things: OpenAI's API, agent to agent, agent controllers, stored things, sockets.
import { newId } from '../rig.mjs';
import { ownThread } from '../things.mjs';

const q = encodeURIComponent;
const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `door: ${name}`, thing, send, ...more });

// ---- conversations and responses
const C = '/api/v1/conversations';
const R = '/api/v1/responses';
probe('conversation', 'conversation', (b, t) => b.get(`${C}/${t.conversationId}`));
probe('conversation, items', 'conversation', (b, t) => b.get(`${C}/${t.conversationId}/items`));
probe('conversation, deleted', 'conversation', (b, t) => b.del(`${C}/${t.conversationId}`));
probe('conversation, encoded', 'conversation', (b, t) => b.get(`/api/v1/%63onversations/${t.conversationId}/items`));
probe('conversation of a thread', 'thread', async (b, t) => {
  await b.get(`${C}/${t.threadId}`);
  await b.get(`${C}/${t.threadId}/items`);
});
for (const [how, owner] of [['', () => ({})], [' for oneself', (a, b) => ({ resource_id: b })], [' as the other', a => ({ resource_id: a })], [' by other names', (a, b) => ({ resourceId: b, resource_id: b })]])
  probe(`conversation taken over${how}`, 'thread', async (b, t, a) => {
    await b.post(C, { agent_id: 'weatherAgent', conversation_id: t.threadId, title: 'taken', ...owner(a.subject, b.subject) });
    await b.get(`${C}/${t.threadId}/items`);
  });
probe('conversation for the other', 'nothing', (b, t, a) => b.post(C, { agent_id: 'weatherAgent', resource_id: a.subject, title: b.mark }));
probe('response', 'conversation', (b, t) => b.get(`${R}/${t.responseId}`));
probe('response of its agent', 'conversation', (b, t) => b.get(`${R}/${t.responseId}?agent_id=weatherAgent`));
probe('response of another agent', 'conversation', (b, t) => b.get(`${R}/${t.responseId}?agent_id=recallAgent`));
probe('response deleted', 'conversation', (b, t) => b.del(`${R}/${t.responseId}?agent_id=weatherAgent`));
const input = b => `tell all ${b.mark}`;
for (const stream of [false, true]) {
  const how = stream ? ', streamed' : '';
  probe(`response in it${how}`, 'conversation', (b, t) => b.post(R, { agent_id: 'weatherAgent', conversation_id: t.conversationId, input: input(b), stream, store: true }));
  probe(`response in it, not stored${how}`, 'conversation', (b, t) => b.post(R, { agent_id: 'weatherAgent', conversation_id: t.conversationId, input: input(b), stream }));
  probe(`response after it${how}`, 'conversation', (b, t) => b.post(R, { agent_id: 'weatherAgent', previous_response_id: t.responseId, input: input(b), stream, store: true }));
  probe(`response in a thread${how}`, 'thread', (b, t) => b.post(R, { agent_id: 'weatherAgent', conversation_id: t.threadId, input: input(b), stream, store: true }));
}
probe('response after it, in one\'s own', 'conversation', async (b, t) => {
  const mine = await ownThread(b);
  await b.post(R, { agent_id: 'weatherAgent', conversation_id: mine, previous_response_id: t.responseId, input: input(b), store: true });
});
probe('response after it, by model', 'conversation', (b, t) => b.post(R, { model: 'weatherAgent', agent_id: 'weatherAgent', previous_response_id: t.responseId, conversation_id: null, input: [{ role: 'user', content: input(b) }] }));
probe('response in it, by another name', 'conversation', (b, t) => b.post(R, { agent_id: 'weatherAgent', conversation: t.conversationId, conversationId: t.conversationId, thread_id: t.threadId, input: input(b), store: true }));
probe('response in it, two ids', 'conversation', (b, t) => b.send('POST', R, { body: `{"agent_id":"weatherAgent","conversation_id":"x","conversation_id":"${t.conversationId}","input":"${input(b)}","store":true}`, headers: { 'content-type': 'application/json' } }));
probe('response by the id of a message', 'thread', async (b, t) => {
  await b.get(`${R}/${t.answerId}?agent_id=weatherAgent`);
  await b.get(`${R}/msg_${t.answerId}?agent_id=weatherAgent`);
  await b.post(R, { agent_id: 'weatherAgent', previous_response_id: t.answerId, input: input(b), store: true });
});

// ---- agent to agent
const A2A = '/api/a2a/weatherAgent';
const rpc = (method, params, id = '1') => ({ jsonrpc: '2.0', id, method, params });
const say = (b, more = {}) => ({ kind: 'message', messageId: newId('m'), role: 'user', parts: [{ kind: 'text', text: input(b) }], ...more });
const v1 = { headers: { 'A2A-Version': '1.0' } };
const sayV1 = (b, more = {}) => ({ messageId: newId('m'), role: 'ROLE_USER', parts: [{ text: input(b) }], ...more });
for (const [verb, ms] of [['message/send'], ['message/stream', 1500]]) {
  probe(`a2a, ${verb} in its context`, 'a2a', (b, t) => b.post(A2A, rpc(verb, { message: say(b, { contextId: t.contextId }) }), { ms }));
  probe(`a2a, ${verb} in its context as the other`, 'a2a', (b, t, a) => b.post(A2A, rpc(verb, { message: say(b, { contextId: t.contextId }), metadata: { resourceId: a.subject } }), { ms }));
  probe(`a2a, ${verb} in its context, owner in the message`, 'a2a', (b, t, a) => b.post(A2A, rpc(verb, { message: say(b, { contextId: t.contextId, metadata: { resourceId: a.subject } }) }), { ms }));
  probe(`a2a, ${verb} in a thread`, 'thread', (b, t, a) => b.post(A2A, rpc(verb, { message: say(b, { contextId: t.threadId }), metadata: { resourceId: a.subject } }), { ms }));
  probe(`a2a, ${verb} to its task`, 'a2a', (b, t) => b.post(A2A, rpc(verb, { message: say(b, { taskId: t.taskId }) }), { ms }));
  probe(`a2a, ${verb} to its task as the other`, 'a2a', (b, t, a) => b.post(A2A, rpc(verb, { id: t.taskId, message: say(b, { taskId: t.taskId, contextId: t.contextId }), metadata: { resourceId: a.subject } }), { ms }));
  probe(`a2a, ${verb} about its task`, 'a2a', (b, t) => b.post(A2A, rpc(verb, { message: say(b, { referenceTaskIds: [t.taskId] }) }), { ms }));
}
for (const verb of ['SendMessage', 'SendStreamingMessage']) {
  probe(`a2a, ${verb} in a thread`, 'thread', (b, t, a) => b.post(A2A, rpc(verb, { message: sayV1(b, { contextId: t.threadId }), metadata: { resourceId: a.subject } }), { ...v1, ms: 1500 }));
  probe(`a2a, ${verb} to its task`, 'a2a', (b, t) => b.post(A2A, rpc(verb, { message: sayV1(b, { taskId: t.taskId, contextId: t.contextId }) }), { ...v1, ms: 1500 }));
}
for (const verb of ['tasks/get', 'tasks/cancel', 'tasks/resubscribe']) {
  probe(`a2a, ${verb}`, 'a2a', (b, t) => b.post(A2A, rpc(verb, { id: t.taskId, historyLength: 50 }), { ms: 600 }));
  probe(`a2a, ${verb} as the other`, 'a2a', (b, t, a) => b.post(A2A, rpc(verb, { id: t.taskId, metadata: { resourceId: a.subject } }), { ms: 600 }));
}
for (const verb of ['GetTask', 'CancelTask', 'SubscribeToTask', 'ListTasks'])
  probe(`a2a, ${verb}`, 'a2a', async (b, t) => {
    await b.post(A2A, rpc(verb, { id: t.taskId, name: `tasks/${t.taskId}`, historyLength: 50, contextId: t.contextId, includeArtifacts: true, pageSize: 50 }), { ...v1, ms: 600 });
  });
probe('a2a, tasks/list', 'a2a', async b => {
  await b.post(A2A, rpc('tasks/list', {}));
  await b.post(A2A, rpc('ListTasks', {}), v1);
});
probe('a2a, task of another agent', 'a2a', async (b, t) => {
  await b.post('/api/a2a/recallAgent', rpc('tasks/get', { id: t.taskId }));
  await b.post('/api/a2a/weather%41gent', rpc('tasks/get', { id: t.taskId }));
});
const push = { url: 'http://127.0.0.1:9/told', token: 'x' };
probe('a2a, told of its task', 'a2a', async (b, t) => {
  await b.post(A2A, rpc('tasks/pushNotificationConfig/set', { taskId: t.taskId, pushNotificationConfig: push }));
  await b.post(A2A, rpc('tasks/pushNotificationConfig/get', { id: t.taskId }));
  await b.post(A2A, rpc('CreateTaskPushNotificationConfig', { taskId: t.taskId, parent: `tasks/${t.taskId}`, configId: 'x', config: push, pushNotificationConfig: push }), v1);
}, { learned: text => text.includes('"result"') && text.includes('127.0.0.1:9') });
probe('a2a, whom its task tells', 'toldTask', async (b, t) => {
  await b.post(A2A, rpc('tasks/pushNotificationConfig/list', { id: t.taskId }));
  await b.post(A2A, rpc('tasks/pushNotificationConfig/get', { id: t.taskId }));
  await b.post(A2A, rpc('ListTaskPushNotificationConfigs', { taskId: t.taskId, parent: `tasks/${t.taskId}` }), v1);
  await b.post(A2A, rpc('tasks/pushNotificationConfig/delete', { id: t.taskId, pushNotificationConfigId: t.taskId }));
});
probe('a2a, a batch', 'a2a', (b, t) => b.post(A2A, [rpc('tasks/get', { id: t.taskId })]));
probe('a2a, two methods', 'a2a', (b, t) => b.send('POST', A2A, { body: `{"jsonrpc":"2.0","id":"1","method":"agent/getAuthenticatedExtendedCard","method":"tasks/get","params":{"id":"${t.taskId}"}}`, headers: { 'content-type': 'application/json' } }));
probe('a2a, two ids', 'a2a', (b, t) => b.send('POST', A2A, { body: `{"jsonrpc":"2.0","id":"1","method":"tasks/get","params":{"id":"x","id":"${t.taskId}"}}`, headers: { 'content-type': 'application/json' } }));
probe('a2a for the other', 'nothing', (b, t, a) => b.post(A2A, rpc('message/send', { message: say(b), metadata: { resourceId: a.subject } })));

// ---- agent controllers: the owner is in the path
const S = t => `${t.own}`;
for (const [how, path] of [['', ''], ['threads', '/threads'], ['permissions', '/permissions'], ['goal', '/goal'], ['resources', '/resources'], ['om', '/om']])
  probe(`controller, ${how || 'state'}`, 'session', (b, t) => b.get(`${S(t)}${path}`));
probe('controller, messages', 'session', (b, t) => b.get(`${S(t)}/threads/${t.threadId}/messages`));
probe('controller, stream', 'session', (b, t) => b.get(`${S(t)}/stream`, { ms: 500 }));
probe('controller, session for the other', 'thread', async (b, t, a) => {
  await b.post('/api/agent-controller/desk/sessions', { resourceId: a.subject, threadId: t.threadId });
  await b.get(`/api/agent-controller/desk/sessions/${q(a.subject)}/threads`);
});
for (const [how, method, path, json] of [
  ['rename', 'PUT', t => `/threads/${t.threadId}`, { title: 'taken' }],
  ['delete', 'DELETE', t => `/threads/${t.threadId}`],
  ['create', 'POST', () => '/threads', { title: 'taken' }],
  ['clone', 'POST', () => '/threads/clone', t => ({ sourceThreadId: t.threadId })],
  ['message', 'POST', () => '/messages', { message: 'by b', content: 'by b' }],
  ['steer', 'POST', () => '/steer', { message: 'by b', content: 'by b' }],
  ['follow-up', 'POST', () => '/follow-up', { message: 'by b', content: 'by b' }],
  ['goal', 'POST', () => '/goal', { objective: 'by b', goal: 'by b' }],
  ['resource', 'POST', () => '/resource', (t, b) => ({ newResourceId: b.subject, resourceId: b.subject })],
  ['state', 'PUT', () => '/state', { state: { by: 'b' } }],
])
  probe(`controller, ${how}, written`, 'session', async (b, t) => {
    await b.send(method, `${S(t)}${path(t)}`, { json: typeof json === 'function' ? json(t, b) : json, ms: 1500 });
    if (how === 'resource') await b.get(`/api/agent-controller/desk/sessions/${q(b.subject)}/threads`);
  });
probe('controller, own session, the other\'s thread', 'thread', async (b, t) => {
  const own = `/api/agent-controller/desk/sessions/${q(b.subject)}`;
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject, threadId: t.threadId });
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject });
  await b.post(`${own}/thread`, { threadId: t.threadId });
  await b.get(`${own}/threads/${t.threadId}/messages`);
  await b.get(`${own}?threadId=${t.threadId}`);
});
probe('controller, clone into one\'s own', 'thread', async (b, t) => {
  const own = `/api/agent-controller/desk/sessions/${q(b.subject)}`;
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject });
  const { json } = await b.post(`${own}/threads/clone`, { sourceThreadId: t.threadId });
  const id = json?.thread?.id ?? json?.id;
  if (id) await b.get(`${own}/threads/${id}/messages`);
});
probe('controller, own session turned to the other', 'session', async (b, t, a) => {
  const own = `/api/agent-controller/desk/sessions/${q(b.subject)}`;
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject });
  await b.post(`${own}/resource`, { resourceId: a.subject, newResourceId: a.subject });
  await b.get(`${own}/threads`);
  await b.post(`${own}/threads`, { title: b.mark });
  await b.post(`${own}/messages`, { message: b.mark, content: b.mark }, { ms: 1500 });
  await b.get(own);
});
probe('controller, who else there is', 'session', async b => {
  const own = `/api/agent-controller/desk/sessions/${q(b.subject)}`;
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject });
  await b.get(`${own}/resources`);
});
probe('controller, delete in one\'s own session', 'thread', async (b, t) => {
  const own = `/api/agent-controller/desk/sessions/${q(b.subject)}`;
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject });
  await b.put(`${own}/threads/${t.threadId}`, { title: 'taken' });
  await b.del(`${own}/threads/${t.threadId}`);
});
probe('controller, owner encoded', 'session', (b, t) => b.get(`${S(t).replace('ann', '%61nn')}/threads`));
probe('controller, runs', 'running', b => b.get('/api/agent-controller/desk/active-runs'));

// ---- what has no owner
const V = '/api/vector/vectors';
probe('vectors queried', 'shared', (b, t) => b.post(`${V}/query`, { indexName: t.name, queryVector: [1, 2, 3], topK: 5 }));
probe('vectors listed', 'shared', async (b, t) => {
  await b.get(`${V}/indexes`);
  await b.get('/api/vectors');
}, { learned: (text, b, a) => /"indexes":\["|\["x[0-9a-f]|\["memory/.test(text) });
probe('memories queried by vector', 'notes', async b => {
  for (const indexName of ['memory_messages_64', 'memory_messages']) await b.post(`${V}/query`, { indexName, queryVector: Array.from({ length: 64 }, () => 1), topK: 50 });
}, { learned: (text, b, a) => text.includes(`"resource_id":"${a.subject}"`) });
probe('index deleted', 'shared', async (b, t, a) => {
  await b.del(`${V}/indexes/${t.name}`);
}, { learned: text => /"success":true/.test(text) });
for (const [how, path] of [['stored agents', () => '/api/stored/agents'], ['stored agent', t => `/api/stored/agents/${t.storedId}`], ['stored agent, draft', t => `/api/stored/agents/${t.storedId}?status=draft`], ['stored agent, versions', t => `/api/stored/agents/${t.storedId}/versions`], ['stored agents of the other', (t, a) => `/api/stored/agents?authorId=${q(a.subject)}&visibility=private`], ['datasets', () => '/api/datasets'], ['dataset', t => `/api/datasets/${t.datasetId}`], ['dataset, items', t => `/api/datasets/${t.datasetId}/items`], ['dataset, item', t => `/api/datasets/${t.datasetId}/items/${t.itemId}`]])
  probe(how, 'shared', (b, t, a) => b.get(path(t, a)));
probe('stored agent changed', 'shared', (b, t) => b.patch(`/api/stored/agents/${t.storedId}`, { instructions: b.mark, visibility: 'public' }), { learned: (text, b) => text.includes('"resolvedVersionId"') || text.includes(`"instructions":"${b.mark}`) });
probe('stored agent deleted', 'shared', (b, t) => b.del(`/api/stored/agents/${t.storedId}`), { learned: text => text.includes('"success":true') });
probe('dataset deleted', 'shared', (b, t) => b.del(`/api/datasets/${t.datasetId}`), { learned: text => text.includes('"success":true') });
probe('model of an agent', 'nothing', async b => {
  await b.post('/api/agents/plainAgent/models/reorder', { reorderedModelIds: [] });
  await b.post('/api/agents/plainAgent/model', { modelId: 'gpt-x', provider: 'openai' });
  await b.post('/api/agents/plainAgent/model/reset', {});
}, { learned: text => text.includes('"message":"Agent model updated"') });
probe('agent cloned', 'nothing', b => b.post('/api/agents/plainAgent/clone', { newId: newId('c'), newName: 'c' }), { learned: text => text.includes('"id":"c-') });
probe('agent builder', 'nothing', b => b.get('/api/agent-builder'), { learned: () => false });

export default probes;
