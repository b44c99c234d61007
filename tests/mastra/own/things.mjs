// What a victim has, made by the victim's own calls. Each gives {ids, ...}: ids that nobody else knows unless told.
import { newId, sleep } from './rig.mjs';

const A = '/api/agents';

/** A thread with two messages; title, metadata and text hold the canary. */
export async function thread(who, canary, agentId = 'weatherAgent') {
  const [threadId, messageId, answerId] = [newId('thread'), newId('message'), newId('answer')];
  await who.must('POST', `/api/memory/threads?agentId=${agentId}`, {
    resourceId: who.subject, threadId, title: `title ${canary}`, metadata: { secret: canary },
  });
  let time = Date.now();
  const message = (id, role, text) => ({
    id, role, threadId, resourceId: who.subject, type: 'text', createdAt: new Date(time++).toISOString(),
    content: { format: 2, parts: [{ type: 'text', text }], content: text },
  });
  const saved = await who.must('POST', `/api/memory/save-messages?agentId=${agentId}`, {
    messages: [message(messageId, 'user', `a question about apples ${canary}`), message(answerId, 'assistant', `an answer ${canary}`)],
  });
  const ids = saved.json.messages.map(one => one.id);
  return { threadId, messageId: ids[0], answerId: ids[1], agentId, ids: [threadId, ...ids] };
}

/** An empty thread, for the attacker. */
export async function ownThread(who, agentId = 'weatherAgent') {
  const threadId = newId('mine');
  await who.must('POST', `/api/memory/threads?agentId=${agentId}`, { resourceId: who.subject, threadId });
  return threadId;
}

/** Notes about the owner, and messages that are recalled by meaning in all of the owner's threads. */
export async function notes(who, canary) {
  const threadId = newId('thread');
  const memory = { thread: threadId, resource: who.subject };
  await who.must('POST', `${A}/recallAgent/generate`, { messages: `apples and pears ${canary}`, memory });
  await who.must('POST', `/api/memory/threads/${threadId}/working-memory?agentId=recallAgent`, {
    workingMemory: `# Notes ${canary}`, resourceId: who.subject,
  });
  return { threadId, agentId: 'recallAgent', ids: [threadId] };
}

/** A run that waits for an approval; with memory, or without. */
export async function waiting(who, canary, agentId = 'weatherAgent') {
  const threadId = newId('thread');
  const memory = agentId === 'plainAgent' ? {} : { memory: { thread: threadId, resource: who.subject } };
  const answer = await who.must('POST', `${A}/${agentId}/generate`, { messages: `call pay {"note":"${canary}"}`, ...memory });
  const { runId, suspendPayload } = answer.json;
  return { runId, threadId, toolCallId: suspendPayload.toolCallId, agentId, ids: [runId, threadId] };
}
export const waitingAlone = (who, canary) => waiting(who, canary, 'plainAgent');

/** An answer that is being written, for about two seconds. */
export async function running(who, canary, agentId = 'weatherAgent') {
  const threadId = newId('thread');
  const memory = agentId === 'plainAgent' ? {} : { memory: { thread: threadId, resource: who.subject } };
  let call = null;
  const first = await new Promise((resolve, reject) => {
    const json = { messages: `n=80 ms=25 ${canary}`, ...memory };
    call = who.send('POST', `${A}/${agentId}/stream`, { json, began: resolve, ms: 120_000 });
    call.then(answer => reject(new Error(`no stream: ${answer.status} ${answer.text.slice(0, 300)}`)));
  });
  const runId = /"runId":"([^"]+)"/.exec(first)[1];
  await sleep(50);
  return { threadId, runId, call, agentId, ids: [threadId, runId], isWhole: answer => answer.text.includes("w79 ") };
}
export const runningAlone = (who, canary) => running(who, canary, 'plainAgent');

const runOf = async (who, workflow, inputData) => {
  const runId = newId('run');
  const base = `/api/workflows/${workflow}`;
  await who.must('POST', `${base}/create-run?runId=${runId}`, { resourceId: who.subject });
  return { runId, workflow, base, start: () => who.must('POST', `${base}/start-async?runId=${runId}`, { inputData, resourceId: who.subject }), ids: [runId] };
};

/** A workflow that waits for an answer. */
export async function asking(who, canary) {
  const run = await runOf(who, 'askWorkflow', { note: canary });
  await run.start();
  return run;
}

/** A workflow that has ended. */
export async function ended(who, canary) {
  const run = await runOf(who, 'tickWorkflow', { note: canary, ticks: 1 });
  await run.start();
  return run;
}

/** A workflow at work, for about a second. */
export async function working(who, canary) {
  const run = await runOf(who, 'tickWorkflow', { note: canary, ticks: 45 });
  run.call = run.start();
  run.isWhole = answer => answer.json.status === 'success';
  await sleep(120);
  return run;
}

/** A trace, of an answer in a thread. */
export async function trace(who, canary) {
  const threadId = newId('thread');
  const memory = { thread: threadId, resource: who.subject };
  const { json } = await who.must('POST', `${A}/weatherAgent/generate`, { messages: `about ${canary}`, memory });
  return { traceId: json.traceId, spanId: json.spanId, runId: json.runId, threadId, ids: [threadId, json.traceId, json.runId] };
}

/** A background task that has ended. */
export async function task(who, canary) {
  const threadId = newId('thread');
  const memory = { thread: threadId, resource: who.subject };
  await who.must('POST', `${A}/weatherAgent/generate`, { messages: `call report {"note":"${canary}"}`, memory });
  const { json } = await who.must('GET', `/api/background-tasks?resourceId=${encodeURIComponent(who.subject)}`);
  return { taskId: json.tasks[0].id, runId: json.tasks[0].runId, threadId, ids: [json.tasks[0].id, threadId] };
}

/** A schedule that fires next year. */
export async function schedule(who, canary) {
  const { threadId } = await thread(who, canary);
  const { json } = await who.must('POST', '/api/schedules', {
    agentId: 'weatherAgent', cron: '0 0 1 1 *', prompt: `remember ${canary}`, threadId, resourceId: who.subject,
  });
  return { scheduleId: json.id, threadId, ids: [json.id, threadId] };
}

/** A conversation with one answer, as OpenAI's API has them. */
export async function conversation(who, canary) {
  const { json } = await who.must('POST', '/api/v1/conversations', {
    agent_id: 'weatherAgent', resource_id: who.subject, title: `title ${canary}`,
  });
  const answer = await who.must('POST', '/api/v1/responses', {
    agent_id: 'weatherAgent', conversation_id: json.id, input: `about ${canary}`, store: true,
  });
  return { conversationId: json.id, responseId: answer.json.id, threadId: json.thread.id, ids: [json.id, answer.json.id] };
}

/** A task of the agent-to-agent protocol. */
export async function a2a(who, canary) {
  const contextId = newId('context');
  const { json } = await who.must('POST', '/api/a2a/weatherAgent', {
    jsonrpc: '2.0', id: '1', method: 'message/send',
    params: {
      message: { kind: 'message', messageId: newId('m'), role: 'user', contextId, parts: [{ kind: 'text', text: `about ${canary}` }] },
      metadata: { resourceId: who.subject },
    },
  });
  if (!json.result) throw new Error(JSON.stringify(json));
  return { taskId: json.result.id, contextId: json.result.contextId, ids: [json.result.id, contextId] };
}

/** A session of the agent controller. */
export async function session(who, canary) {
  const base = `/api/agent-controller/desk/sessions`;
  await who.must('POST', base, { resourceId: who.subject });
  const own = `${base}/${encodeURIComponent(who.subject)}`;
  const { json } = await who.must('POST', `${own}/threads`, { title: `title ${canary}` });
  return { own, threadId: json?.thread?.id ?? json?.id, ids: [] };
}

/** Nothing: for what a caller says of themselves. */
export const nothing = async () => ({ ids: [] });

/** Feedback and a score on a trace of one's own. */
export async function feedback(who, canary) {
  const made = await trace(who, canary);
  const { json } = await who.beside('POST', '/api/observability/feedback', {
    feedback: { traceId: made.traceId, feedbackSource: 'user', feedbackType: 'rating', value: 1, comment: canary, resourceId: who.subject },
  });
  const found = await who.beside('GET', `/api/observability/feedback?resourceId=${encodeURIComponent(who.subject)}`);
  return { ...made, feedbackId: found.json.feedback[0]?.feedbackId ?? json?.id };
}
export async function score(who, canary) {
  const made = await trace(who, canary);
  await who.beside('POST', '/api/observability/scores', {
    score: { traceId: made.traceId, spanId: made.spanId, scorerId: 'rig-scorer', scorerName: 'rig-scorer', score: 1, reason: canary, resourceId: who.subject },
  });
  const found = await who.beside('GET', `/api/observability/scores?resourceId=${encodeURIComponent(who.subject)}`);
  return { ...made, scoreId: found.json.scores[0]?.scoreId ?? found.json.scores[0]?.id };
}

/** A schedule that has fired. */
export async function fired(who, canary) {
  const made = await schedule(who, canary);
  await who.must('POST', `/api/schedules/${made.scheduleId}/run`, {});
  const messages = `/api/memory/threads/${made.threadId}/messages?agentId=weatherAgent`;
  for (let i = 0; i < 200 && (await who.must('GET', messages)).json.messages.length < 4; i++) await sleep(50);
  return made;
}

/** A score of an answer, as evaluations keep them. */
export async function oldScore(who, canary) {
  const runId = newId('run');
  await who.beside('POST', '/api/scores', {
    score: {
      scorerId: 'rig-scorer', runId, entityId: 'weatherAgent', entityType: 'AGENT', score: 1, reason: canary, resourceId: who.subject,
      input: [canary], output: [canary], source: 'LIVE', entity: {}, scorer: {},
    },
  });
  return { runId, ids: [] };
}

/** What somebody keeps that has no owner at all: an index, a stored agent, a dataset. */
export async function shared(who, canary) {
  const name = `x${newId('i').replaceAll('-', '').slice(0, 20)}`;
  await who.beside('POST', '/api/vector/vectors/create-index', { indexName: name, dimension: 3, metric: 'cosine' });
  await who.beside('POST', '/api/vector/vectors/upsert', { indexName: name, vectors: [[1, 2, 3]], metadata: [{ canary }], ids: ['one'] });
  const stored = await who.beside('POST', '/api/stored/agents', {
    id: name, name, instructions: `keep ${canary}`, model: { provider: 'openai', name: 'gpt-x' }, authorId: who.subject, visibility: 'private',
  });
  const dataset = await who.beside('POST', '/api/datasets', { name, description: canary });
  const item = await who.beside('POST', `/api/datasets/${dataset.json.id}/items`, { input: { canary }, groundTruth: canary });
  return { name, storedId: stored.json.id, datasetId: dataset.json.id, itemId: item.json.id, ids: [] };
}

/** A task of which somebody is told. */
export async function toldTask(who, canary) {
  const made = await a2a(who, canary);
  await who.must('POST', '/api/a2a/weatherAgent', {
    jsonrpc: '2.0', id: '1', method: 'tasks/pushNotificationConfig/set',
    params: { taskId: made.taskId, pushNotificationConfig: { url: `http://127.0.0.1:9/${canary}`, token: canary } },
  });
  return made;
}

/** A thread whose id a path has to encode. */
export async function oddThread(who, canary) {
  const threadId = newId('a b/c?d#e&f=g;h');
  await who.beside('POST', '/api/memory/threads?agentId=weatherAgent', { resourceId: who.subject, threadId, title: `title ${canary}` });
  return { threadId, ids: [threadId] };
}

/** A thread of an agent that has a store of its own. */
export async function island(who, canary) {
  const made = await thread(who, canary, 'islandAgent');
  const own = `/api/memory/threads/${made.threadId}`;
  const read = tail => who.beside('GET', `${own}${tail}?agentId=islandAgent`).then(answer => answer.text, String);
  return { ...made, state: async () => (await read('')) + (await read('/messages')) };
}
