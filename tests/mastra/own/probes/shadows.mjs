// The path names one's own, something else names the other's: Mastra lays the query over the path, and the body over both.
// Forms are read on every route, each field as JSON where it can be.
import { newId } from '../rig.mjs';
import * as things from '../things.mjs';

const q = encodeURIComponent;
const agent = 'agentId=weatherAgent';
const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `shadow: ${name}`, thing, send, ...more });

const form = fields =>
  Object.entries(fields).map(([name, value]) => `----probe-0123456789abcdef0123456789\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${typeof value === 'string' ? value : JSON.stringify(value)}\r\n`).join('') + '----probe-0123456789abcdef0123456789--\r\n';
const asForm = fields => ({ body: form(fields), headers: { 'content-type': 'multipart/form-data; boundary=--probe-0123456789abcdef0123456789' } });

/** Sends one request to one's own thing, with the other's names beside its path: in the query, the body and a form. */
async function beside(b, method, path, fields, json) {
  const glue = path.includes('?') ? '&' : '?';
  const query = Object.entries(fields).map(([name, value]) => `${name}=${q(value)}`).join('&');
  await b.send(method, `${path}${glue}${query}`, json ? { json, ms: 2500 } : { ms: 2500 });
  if (method === 'GET') return;
  await b.send(method, path, { json: { ...json, ...fields }, ms: 2500 });
  await b.send(method, path, { ...asForm({ ...json, ...fields }), ms: 2500 });
}

// ---- threads
for (const base of ['/api/memory', '/api/memory/network'])
  for (const [what, method, tail, json] of [
    ['get', 'GET', ''], ['messages', 'GET', '/messages'], ['working memory', 'GET', '/working-memory'],
    ['delete', 'DELETE', ''], ['rename', 'PATCH', '', { title: 'taken' }], ['clone', 'POST', '/clone', {}], ['write notes', 'POST', '/working-memory', { workingMemory: '# taken' }],
  ]) {
    if (base.endsWith('network') && (tail.includes('working') || tail === '/clone')) continue;
    const twin = base.endsWith('network') ? 'network, ' : '';
    const by = tail.includes('working') ? 'agentId=recallAgent' : agent;
    const thing = tail.includes('working') ? 'notes' : 'thread';
    probe(`${twin}${what} by threadId`, thing, async (b, t, a) => {
      const mine = await things.ownThread(b);
      await beside(b, method, `${base}/threads/${mine}${tail}?${by}`, { threadId: t.threadId, resourceId: a.subject }, json);
    });
  }
probe('delete by a body, owner in the query', 'thread', async (b, t, a) => {
  const mine = await things.ownThread(b);
  await b.send('DELETE', `/api/memory/threads/${mine}?${agent}&resourceId=${q(b.subject)}`, { json: { threadId: t.threadId, resourceId: a.subject } });
});

// ---- runs
for (const [what, method, path, json, thing = 'asking'] of [
  ['get', 'GET', run => `/runs/${run}`], ['delete', 'DELETE', run => `/runs/${run}`], ['cancel', 'POST', run => `/runs/${run}/cancel`],
  ['resume', 'POST', run => `/resume-async?runId=${run}`, { step: 'ask', resumeData: { answer: 'by b' } }],
  ['resume by stream', 'POST', run => `/resume-stream?runId=${run}`, { step: 'ask', resumeData: { answer: 'by b' } }],
  ['time travel', 'POST', run => `/time-travel-async?runId=${run}`, { step: 'ask', inputData: { note: 'by b' } }],
  ['start', 'POST', run => `/start-async?runId=${run}`, { inputData: { note: 'by b' } }],
])
  probe(`workflow, ${what} by runId`, thing, async (b, t) => {
    const mine = await things[thing](b, b.mark);
    await beside(b, method, `${t.base}${path(mine.runId)}`, { runId: t.runId }, json);
    await mine.call;
  });
probe('workflow by workflowId', 'asking', async (b, t) => {
  const path = '/api/workflows/tickWorkflow';
  await beside(b, 'GET', `${path}/runs/${t.runId}`, { workflowId: 'askWorkflow' });
  await beside(b, 'POST', `${path}/resume-async?runId=${t.runId}`, { workflowId: 'askWorkflow' }, { step: 'ask', resumeData: { answer: 'by b' } });
  await beside(b, 'DELETE', `${path}/runs/${t.runId}`, { workflowId: 'askWorkflow' });
});
probe('workflow runs by workflowId', 'asking', b => beside(b, 'GET', '/api/workflows/tickWorkflow/runs', { workflowId: 'askWorkflow' }));
probe('approve by agentId', 'waiting', (b, t) => beside(b, 'POST', '/api/agents/plainAgent/approve-tool-call', { agentId: t.agentId }, { runId: t.runId, toolCallId: t.toolCallId }));
probe('approve by runId, beside one\'s own', 'waiting', async (b, t) => {
  const mine = await things.waiting(b, b.mark);
  await b.post(`/api/agents/weatherAgent/approve-tool-call?runId=${t.runId}&toolCallId=${t.toolCallId}`, { runId: mine.runId, toolCallId: mine.toolCallId });
  await b.send('POST', '/api/agents/weatherAgent/approve-tool-call', asForm({ runId: t.runId, toolCallId: t.toolCallId }));
});
probe('list of waiting runs by agentId', 'waiting', b => beside(b, 'GET', '/api/agents/plainAgent/suspended-runs', { agentId: 'weatherAgent', perPage: '100' }));

// ---- prompts
const A = '/api/agents/weatherAgent';
for (const [route, json] of [['generate', b => ({ messages: `tell all ${b.mark}` })], ['stream', b => ({ messages: `tell all ${b.mark}` })]]) {
  probe(`${route} by a form`, 'thread', (b, t, a) => b.send('POST', `${A}/${route}`, asForm({ ...json(b), memory: { thread: t.threadId, resource: a.subject } })));
  probe(`${route} by a form that says JSON too`, 'thread', (b, t, a) => b.send('POST', `${A}/${route}`, { ...asForm({ ...json(b), memory: { thread: t.threadId, resource: a.subject } }), headers: { 'content-type': 'multipart/form-data; boundary=--probe-0123456789abcdef0123456789; type=application/json' } }));
  probe(`${route} by the query`, 'thread', (b, t, a) => b.post(`${A}/${route}?threadId=${t.threadId}&resourceId=${q(a.subject)}&memory=${q(JSON.stringify({ thread: t.threadId, resource: a.subject }))}`, json(b)));
  for (const type of ['text/plain; application/json', 'application/jsonx', 'application/json; charset=utf-16', 'x/application/json'])
    probe(`${route} as ${type}`, 'thread', (b, t, a) => b.send('POST', `${A}/${route}`, { body: JSON.stringify({ ...json(b), memory: { thread: t.threadId, resource: a.subject } }), headers: { 'content-type': type } }));
}
probe('another agent by agentId', 'notes', (b, t, a) => beside(b, 'POST', '/api/agents/plainAgent/generate', { agentId: 'recallAgent' }, { messages: `tell all apples ${b.mark}`, memory: { thread: newId('t'), resource: a.subject } }));
probe('signal by a form', 'thread', (b, t, a) => b.send('POST', `${A}/send-message`, asForm({ message: b.mark, threadId: t.threadId, resourceId: a.subject })));
probe('save by a form', 'thread', (b, t, a) => b.send('POST', `/api/memory/save-messages?${agent}`, asForm({ messages: [{ id: newId('m'), role: 'user', threadId: t.threadId, resourceId: a.subject, type: 'text', createdAt: new Date().toISOString(), content: { format: 2, parts: [{ type: 'text', text: b.mark }], content: b.mark } }] })));
probe('create for the other by a form', 'nothing', (b, t, a) => b.send('POST', `/api/memory/threads?${agent}`, asForm({ resourceId: a.subject, title: b.mark })));
probe('create for the other by the query', 'nothing', (b, t, a) => b.post(`/api/memory/threads?${agent}&resourceId=${q(a.subject)}&threadId=${newId('t')}`, { title: b.mark }));
probe('taken over by the query', 'thread', async (b, t) => {
  await b.post(`/api/memory/threads?${agent}&threadId=${t.threadId}`, { title: 'taken', resourceId: b.subject });
  await b.send('POST', `/api/memory/threads?${agent}`, asForm({ title: 'taken', resourceId: b.subject, threadId: t.threadId }));
});
probe('messages deleted by a form', 'thread', (b, t, a) => b.send('POST', `/api/memory/messages/delete?${agent}`, asForm({ messageIds: [t.messageId], resourceId: a.subject })));

// ---- other doors
probe('conversation, get by conversationId', 'conversation', async (b, t) => {
  const mine = await things.ownThread(b);
  await beside(b, 'GET', `/api/v1/conversations/${mine}`, { conversationId: t.conversationId });
  await beside(b, 'GET', `/api/v1/conversations/${mine}/items`, { conversationId: t.conversationId });
});
probe('conversation, delete by conversationId', 'conversation', async (b, t) => beside(b, 'DELETE', `/api/v1/conversations/${await things.ownThread(b)}`, { conversationId: t.conversationId }));
probe('response, get by responseId', 'conversation', async (b, t) => {
  const mine = await things.conversation(b, b.mark);
  await beside(b, 'GET', `/api/v1/responses/${mine.responseId}?agent_id=weatherAgent`, { responseId: t.responseId });
});
probe('response, delete by responseId', 'conversation', async (b, t) => {
  const mine = await things.conversation(b, b.mark);
  await beside(b, 'DELETE', `/api/v1/responses/${mine.responseId}?agent_id=weatherAgent`, { responseId: t.responseId });
});
probe('trace by traceId', 'trace', async (b, t) => {
  const mine = await things.trace(b, b.mark);
  for (const tail of ['', '/light', '/trajectory', `/spans/${mine.spanId}`])
    await beside(b, 'GET', `/api/observability/traces/${mine.traceId}${tail}`, { traceId: t.traceId, spanId: t.spanId });
});
probe('background task by its id', 'task', async (b, t) => {
  const mine = await things.task(b, b.mark);
  await beside(b, 'GET', `/api/background-tasks/${mine.taskId}`, { backgroundTaskId: t.taskId, taskId: t.taskId });
});
for (const [what, method, tail, json] of [['get', 'GET', ''], ['triggers', 'GET', '/triggers'], ['changed', 'PATCH', '', { prompt: 'by b' }], ['deleted', 'DELETE', ''], ['paused', 'POST', '/pause', {}], ['run', 'POST', '/run', {}]])
  probe(`schedule, ${what} by scheduleId`, what === 'triggers' ? 'fired' : 'schedule', async (b, t) => {
    const mine = await things.schedule(b, b.mark);
    await beside(b, method, `/api/schedules/${mine.scheduleId}${tail}`, { scheduleId: t.scheduleId }, json);
  });
probe('controller by resourceId', 'session', async (b, t, a) => {
  const own = `/api/agent-controller/desk/sessions/${q(b.subject)}`;
  await b.post('/api/agent-controller/desk/sessions', { resourceId: b.subject });
  for (const tail of ['', '/threads', `/threads/${t.threadId}/messages`]) await beside(b, 'GET', `${own}${tail}`, { resourceId: a.subject });
  await beside(b, 'POST', `${own}/threads`, { resourceId: a.subject }, { title: 'by b' });
  await beside(b, 'DELETE', `${own}/threads/${t.threadId}`, { resourceId: a.subject });
});
probe('a2a by agentId', 'a2a', async (b, t) => {
  for (const [name, fields] of [['tasks/get', { id: t.taskId }], ['tasks/cancel', { id: t.taskId }]])
    await b.post('/api/a2a/plainAgent?agentId=weatherAgent', { jsonrpc: '2.0', id: '1', method: name, params: fields });
  await b.post('/api/a2a/plainAgent', { jsonrpc: '2.0', id: '1', method: 'tasks/get', params: { id: t.taskId }, agentId: 'weatherAgent' });
  await b.send('POST', '/api/a2a/weatherAgent', asForm({ jsonrpc: '2.0', id: '"1"', method: 'tasks/get', params: { id: t.taskId } }));
});
probe('tool by toolId', 'nothing', async b => {
  await b.post('/api/tools/get-weather/execute?toolId=who-am-i', { data: { city: 'x' } });
  await b.post('/api/tools/get-weather/execute', { data: { city: 'x' }, toolId: 'who-am-i' });
}, { learned: text => text.includes('"userPermissions"') });
probe('tool, context in a form', 'nothing', b => b.send('POST', '/api/tools/who-am-i/execute', asForm({ data: {}, requestContext: { user: { id: 'ROOT-x' } } })), { learned: text => text.includes('"user":{"id":"ROOT-x"') });
probe('agent by agentId', 'nothing', b => beside(b, 'POST', '/api/agents/plainAgent/generate', { agentId: 'weatherAgent' }, { messages: 'hello' }), { learned: text => text.includes('"agentId":"weatherAgent"') });

export default probes;
