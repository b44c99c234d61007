// Traces, logs, scores, feedback; background tasks; schedules.
import { ownThread } from '../things.mjs';

const q = encodeURIComponent;
const O = '/api/observability';
const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `record: ${name}`, thing, send, ...more });
const owners = [
  ['of all', () => ''],
  ['of the other', a => `resourceId=${q(a.subject)}`],
  ['empty owner', () => 'resourceId='],
  ['own, then the other', (a, b) => `resourceId=${q(b.subject)}&resourceId=${q(a.subject)}`],
  ['encoded name', a => `resource%49d=${q(a.subject)}`],
];

// ---- traces
for (const list of ['traces', 'traces/light', 'branches'])
  for (const [how, query] of owners) probe(`${list} ${how}`, 'trace', (b, t, a) => b.get(`${O}/${list}?${query(a, b)}&perPage=100`));
for (const [how, query] of [['of its thread', t => `threadId=${t.threadId}`], ['of its run', t => `runId=${t.runId}`], ['of its agent', () => 'entityId=weatherAgent&entityType=agent'], ['by filters', (t, a) => `filters=${q(JSON.stringify({ resourceId: a.subject }))}`], ['by its name', (t, a) => `metadata=${q(JSON.stringify({ resourceId: a.subject }))}`]]) {
  probe(`traces ${how}`, 'trace', (b, t, a) => b.get(`${O}/traces?${query(t, a)}`));
  probe(`traces/light ${how}`, 'trace', (b, t, a) => b.get(`${O}/traces/light?${query(t, a)}`));
}
for (const [how, path] of [
  ['get', t => `${t.traceId}`], ['light', t => `${t.traceId}/light`], ['span', t => `${t.traceId}/spans/${t.spanId}`], ['trajectory', t => `${t.traceId}/trajectory`],
  ['branch', t => `${t.traceId}/branches/${t.spanId}`], ['encoded', t => `%${t.traceId.charCodeAt(0).toString(16)}${t.traceId.slice(1)}`],
]) {
  probe(`trace, ${how}`, 'trace', (b, t) => b.get(`${O}/traces/${path(t)}`));
  probe(`trace, ${how}, as the other`, 'trace', (b, t, a) => b.get(`${O}/traces/${path(t)}?resourceId=${q(a.subject)}`));
}
probe('trace in capitals', 'trace', (b, t) => b.get(`${O}/traces/${t.traceId.toUpperCase()}`));
for (const [how, filters] of [['of all', () => ({})], ['of the other', a => ({ resourceId: a.subject })]])
  for (const path of ['traces/query', 'threads/query', 'traces/query/fields', 'traces/query/values'])
    probe(`${path} ${how}`, 'trace', (b, t, a) => b.post(`${O}/${path}`, {
      ...(path.endsWith('fields') ? {} : { field: 'input', path: 'input' }), filters: filters(a), traces: { ...filters(a) }, pagination: { page: 0, perPage: 50 }, groupBy: 'threadId', select: ['*'], entity: 'traces', where: filters(a),
    }));
probe('traces deleted', 'trace', (b, t) => b.post(`${O}/traces/delete`, { traceIds: [t.traceId] }));
probe('traces deleted, encoded', 'trace', (b, t) => b.post(`${O}/traces/%64elete`, { traceIds: [t.traceId] }));
probe('traces deleted by filter', 'trace', (b, t, a) => b.post(`${O}/traces/delete`, { filters: { resourceId: a.subject }, confirm: true }));
probe('trace scored', 'trace', (b, t) => b.post(`${O}/traces/score`, { scorerName: 'x', targets: [{ traceId: t.traceId, spanId: t.spanId }] }));
probe('discovery', 'trace', async b => {
  for (const what of ['metric-names', 'metric-label-keys', 'metric-label-values?metricName=x&labelKey=resourceId', 'entity-types', 'entity-names', 'service-names', 'environments', 'tags'])
    await b.get(`${O}/discovery/${what}`);
});

// ---- what lies beside traces
for (const list of ['scores', 'feedback', 'metrics', 'logs'])
  for (const [how, query] of owners)
    probe(`${list} ${how}`, list === 'feedback' ? 'feedback' : list === 'scores' ? 'score' : 'trace', (b, t, a) => b.get(`${O}/${list}?${query(a, b)}&perPage=100`));
for (const what of ['feedback', 'scores', 'metrics'])
  for (const kind of ['aggregate', 'breakdown', 'timeseries', 'percentiles'])
    probe(`${what}, ${kind}`, what === 'scores' ? 'score' : 'feedback', (b, t, a) => b.post(`${O}/${what}/${kind}`, {
      filters: { resourceId: a.subject }, name: ['rating'], feedbackType: 'rating', scorerId: 'x', scorerName: 'x', feedbackSource: 'user', aggregation: 'count', groupBy: ['resourceId', 'comment', 'traceId', 'metadata', 'feedbackUserId'], interval: '1d', percentiles: [0.5],
    }));
probe('feedback to the trace of the other', 'trace', (b, t, a) => b.post(`${O}/feedback`, { feedback: { traceId: t.traceId, feedbackSource: 'user', feedbackType: 'rating', value: 1, comment: b.mark } }));
probe('feedback as the other', 'trace', (b, t, a) => b.post(`${O}/feedback`, { feedback: { traceId: t.traceId, feedbackSource: 'user', feedbackType: 'rating', value: 1, comment: b.mark, resourceId: a.subject, userId: a.subject, feedbackUserId: a.subject } }));
probe('score to the trace of the other', 'trace', (b, t, a) => b.post(`${O}/scores`, { score: { traceId: t.traceId, scorerId: 'x', scorerName: 'x', score: 0, reason: b.mark, resourceId: a.subject } }));
probe('feedback deleted', 'feedback', (b, t, a) => b.del(`${O}/feedback?resourceId=${q(a.subject)}`, { json: { feedbackIds: [t.feedbackId], filters: { resourceId: a.subject } } }));
probe('feedback reviewed', 'feedback', (b, t) => b.patch(`${O}/feedback/${t.feedbackId}/review-status`, { reviewStatus: 'dismissed', status: 'dismissed' }));
probe('scores deleted', 'score', (b, t, a) => b.del(`${O}/scores?resourceId=${q(a.subject)}`, { json: { scoreIds: [t.scoreId], filters: { resourceId: a.subject } } }));
probe('score by id', 'score', (b, t) => b.get(`${O}/scores/${t.scoreId}`));
probe('scores of the trace', 'score', (b, t) => b.get(`${O}/traces/${t.traceId}/${t.spanId}/scores`));
probe('old scores', 'oldScore', async (b, t) => {
  await b.get(`/api/scores/run/${t.runId}`);
});
probe('old scores by scorer', 'oldScore', (b, t) => b.get('/api/scores/scorer/rig-scorer'));
probe('old scores by entity', 'oldScore', (b, t) => b.get('/api/scores/entity/AGENT/weatherAgent'));
probe('old score for the run of the other', 'oldScore', async (b, t, a) => {
  const { json } = await b.get(`/api/scores/run/${t.runId}`);
  await b.post('/api/scores', { score: { ...json?.scores?.[0], id: undefined, reason: b.mark, resourceId: a.subject } });
});
probe('logs', 'trace', async (b, t) => {
  await b.get('/api/logs?transportId=x');
  await b.get(`/api/logs/${t.runId}?transportId=x`);
});

// ---- background tasks
for (const list of ['background-tasks', 'background-tasks/stream'])
  for (const [how, query] of [...owners, ['of its thread', (a, b, t) => `threadId=${t.threadId}`], ['of its run', (a, b, t) => `runId=${t.runId}`]])
    probe(`${list} ${how}`, 'task', (b, t, a) => b.get(`/api/${list}?${query(a, b, t)}`, { ms: 500 }));
probe('background task by id', 'task', (b, t) => b.get(`/api/background-tasks/${t.taskId}`));
probe('background task by id, as oneself', 'task', (b, t) => b.get(`/api/background-tasks/${t.taskId}?resourceId=${q(b.subject)}`));
probe('background task by id, encoded', 'task', (b, t) => b.get(`/api/background%2Dtasks/${t.taskId}`));
probe('background tasks by stream, by id', 'task', (b, t) => b.get(`/api/background-tasks/stream?taskId=${t.taskId}`, { ms: 500 }));
probe('background tasks while they run', 'running', async (b, t, a) => {
  const stream = b.get(`/api/background-tasks/stream?resourceId=${q(a.subject)}`, { ms: 900 });
  await a.post('/api/agents/weatherAgent/generate', { messages: `call report {"note":"${t.canary}"}`, memory: { thread: `${t.threadId}-2`, resource: a.subject } });
  await stream;
});

// ---- schedules
for (const [how, query] of [...owners, ['of its thread', (a, b, t) => `threadId=${t.threadId}`], ['of its agent', () => 'agentId=weatherAgent']])
  probe(`schedules ${how}`, 'schedule', (b, t, a) => b.get(`/api/schedules?${query(a, b, t)}`));
const one = t => `/api/schedules/${t.scheduleId}`;
probe('schedule by id', 'schedule', (b, t) => b.get(one(t)));
probe('schedule, triggers', 'fired', (b, t) => b.get(`${one(t)}/triggers`));
probe('schedule changed', 'schedule', (b, t) => b.patch(one(t), { prompt: b.mark }));
probe('schedule changed as the other', 'schedule', (b, t, a) => b.patch(one(t), { prompt: b.mark, resourceId: a.subject, threadId: t.threadId }));
probe('schedule taken over', 'schedule', (b, t) => b.patch(one(t), { resourceId: b.subject }));
probe('schedule deleted', 'schedule', (b, t) => b.del(one(t)));
for (const verb of ['pause', 'resume', 'run', '%72un']) probe(`schedule, ${verb}`, 'schedule', (b, t) => b.post(`${one(t)}/${verb}`, {}));
const cron = '0 0 1 1 *';
probe('schedule for the other', 'thread', (b, t, a) => b.post('/api/schedules', { agentId: 'weatherAgent', cron, prompt: b.mark, threadId: t.threadId, resourceId: a.subject }));
for (const [how, more] of [
  ['in the other\'s thread', () => ({})],
  ['in the other\'s thread, as oneself', (t, a, b) => ({ resourceId: b })],
  ['in the other\'s thread, as the other', (t, a) => ({ resourceId: a })],
  ['options inside', (t, a, b, mine) => ({ threadId: mine, resourceId: b, ifIdle: { behavior: 'wake', streamOptions: { memory: { thread: t.threadId, resource: a } } }, options: { memory: { thread: t.threadId, resource: a } }, streamOptions: { memory: { thread: t.threadId, resource: a } } })],
])
  probe(`schedule ${how}, fired`, 'thread', async (b, t, a) => {
    const mine = await ownThread(b);
    const { json } = await b.post('/api/schedules', { agentId: 'weatherAgent', cron, prompt: `tell all ${b.mark}`, threadId: t.threadId, ...more(t, a.subject, b.subject, mine) });
    if (json?.id) await b.post(`/api/schedules/${json.id}/run`, {});
    await new Promise(resolve => setTimeout(resolve, 250));
    if (json?.id) await b.get(`/api/schedules/${json.id}/triggers`);
  });
probe('schedule changed to the other\'s thread, fired', 'thread', async (b, t, a) => {
  const mine = await ownThread(b);
  const { json } = await b.post('/api/schedules', { agentId: 'weatherAgent', cron, prompt: `tell all ${b.mark}`, threadId: mine, resourceId: b.subject });
  if (!json?.id) return;
  const memory = { thread: t.threadId, resource: a.subject };
  await b.patch(`/api/schedules/${json.id}`, { ifIdle: { behavior: 'wake', streamOptions: { memory } }, streamOptions: { memory } });
  await b.patch(`/api/schedules/${json.id}`, { threadId: t.threadId, resourceId: a.subject });
  await b.post(`/api/schedules/${json.id}/run`, {});
  await new Promise(resolve => setTimeout(resolve, 250));
});
probe('schedule of a workflow for the other', 'nothing', (b, t, a) => b.post('/api/schedules', { workflowId: 'tickWorkflow', cron, inputData: { note: b.mark }, resourceId: a.subject }));

export default probes;
