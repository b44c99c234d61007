// Runs: what waits for an approval, what is suspended, what is at work; approve, decline, resume, observe, cancel, restart.
import { newId } from '../rig.mjs';

const q = encodeURIComponent;
const probes = [];
const probe = (name, thing, send, more) => probes.push({ name: `run: ${name}`, thing, send, ...more });

// ---- approvals
for (const thing of ['waiting', 'waitingAlone']) {
  const base = t => `/api/agents/${t.agentId}`;
  const which = thing === 'waiting' ? '' : ', without memory';
  for (const verb of ['approve-tool-call', 'decline-tool-call', 'approve-tool-call-generate', 'decline-tool-call-generate', 'approve-network-tool-call', 'decline-network-tool-call'])
    probe(`${verb}${which}`, thing, (b, t) => b.post(`${base(t)}/${verb}`, { runId: t.runId, toolCallId: t.toolCallId }));
  for (const verb of ['resume-stream', 'resume-stream-until-idle'])
    for (const [how, memory] of [['', () => ({})], [', as oneself', (t, a, b) => ({ memory: { thread: t.threadId, resource: b } })], [', as the other', (t, a) => ({ memory: { thread: t.threadId, resource: a } })]])
      probe(`${verb}${how}${which}`, thing, (b, t, a) => b.post(`${base(t)}/${verb}`, { runId: t.runId, toolCallId: t.toolCallId, resumeData: { approved: true }, ...memory(t, a.subject, b.subject) }));
  probe(`recover${which}`, thing, (b, t) => b.post(`${base(t)}/recover`, { runId: t.runId }));
  probe(`list of all${which}`, thing, (b, t) => b.get(`${base(t)}/suspended-runs?perPage=100`));
  probe(`approve by another agent${which}`, thing, async (b, t) => {
    for (const agent of ['recallAgent', 'routingAgent', t.agentId === 'plainAgent' ? 'weatherAgent' : 'plainAgent'])
      await b.post(`/api/agents/${agent}/approve-tool-call`, { runId: t.runId, toolCallId: t.toolCallId });
  });
  probe(`approve, spelled in the query${which}`, thing, (b, t) => b.post(`${base(t)}/approve-tool-call?runId=${t.runId}`, { runId: 'x', toolCallId: t.toolCallId }));
  probe(`approve, two runs${which}`, thing, (b, t) => b.send('POST', `${base(t)}/approve-tool-call`, { body: `{"runId":"x","runId":"${t.runId}","toolCallId":"${t.toolCallId}"}`, headers: { 'content-type': 'application/json' } }));
  probe(`approve, escaped key${which}`, thing, (b, t) => b.send('POST', `${base(t)}/approve-tool-call`, { body: `{"run\\u0049d":"${t.runId}","toolCallId":"${t.toolCallId}"}`, headers: { 'content-type': 'application/json' } }));
  probe(`approve, encoded path${which}`, thing, (b, t) => b.post(`${base(t)}/%61pprove-tool-call`, { runId: t.runId, toolCallId: t.toolCallId }));
  probe(`approve, encoded agent${which}`, thing, (b, t) => b.post(`${base(t).replace('Agent', '%41gent')}/approve-tool-call`, { runId: t.runId, toolCallId: t.toolCallId }));
  probe(`observe${which}`, thing, (b, t) => b.post(`${base(t)}/observe`, { runId: t.runId }, { ms: 400 }));
  probe(`as a workflow${which}`, thing, async (b, t) => {
    for (const name of ['agentic-loop', 'agentic-execution', 'executionWorkflow']) {
      await b.get(`/api/workflows/${name}/runs/${t.runId}`);
      await b.post(`/api/workflows/${name}/resume-async?runId=${t.runId}`, { step: 'x', resumeData: { approved: true } });
      await b.del(`/api/workflows/${name}/runs/${t.runId}`);
    }
  });
}
for (const [how, query] of [['of the other', a => `resourceId=${q(a.subject)}`], ['empty owner', () => 'resourceId='], ['of the thread', (a, t) => `threadId=${t.threadId}`], ['own, then the other', (a, t, b) => `resourceId=${q(b.subject)}&resourceId=${q(a.subject)}`], ['encoded name', a => `resource%49d=${q(a.subject)}`]])
  probe(`list ${how}`, 'waiting', (b, t, a) => b.get(`/api/agents/weatherAgent/suspended-runs?${query(a, t, b)}`));
for (const approved of [true, false])
  for (const [how, owner] of [['', () => ({})], [', as the other', a => ({ resourceId: a })], [', as oneself', (a, b) => ({ resourceId: b })]])
    probe(`send-tool-approval ${approved}${how}`, 'waiting', (b, t, a) => b.post('/api/agents/weatherAgent/send-tool-approval', { threadId: t.threadId, runId: t.runId, toolCallId: t.toolCallId, approved, decline: !approved, ...owner(a.subject, b.subject) }));
probe('approve by a chat', 'waiting', async (b, t) => {
  const messages = [{ id: newId('m'), role: 'assistant', parts: [{ type: 'tool-pay', toolCallId: t.toolCallId, state: 'approval-responded', input: {}, approval: { id: t.toolCallId, approved: true } }] }];
  for (const route of ['/chat', '/chat/weatherAgent', '/my-chat'])
    await b.post(route, { messages, runId: t.runId, resumeData: { approved: true }, toolCallId: t.toolCallId });
});

// ---- workflows
const body = { resumeData: { answer: 'yes by b' }, step: 'ask' };
const verbs = {
  resume: body, 'resume-async': body, 'resume-no-wait': body, 'resume-stream': body,
  'time-travel': { step: 'ask', inputData: { note: 'by b' } }, 'time-travel-async': { step: 'ask', inputData: { note: 'by b' } }, 'time-travel-stream': { step: 'ask', inputData: { note: 'by b' } },
  restart: {}, 'restart-async': {},
  start: { inputData: { note: 'by b' } }, 'start-async': { inputData: { note: 'by b' } }, stream: { inputData: { note: 'by b' } }, 'stream-legacy': { inputData: { note: 'by b' } },
  observe: undefined, 'observe-stream-legacy': undefined,
};
for (const [verb, json] of Object.entries(verbs)) {
  probe(`workflow, ${verb}`, 'asking', (b, t) => b.post(`${t.base}/${verb}?runId=${t.runId}`, json, { ms: 1500 }));
  probe(`workflow, ${verb}, as the other`, 'asking', (b, t, a) => b.post(`${t.base}/${verb}?runId=${t.runId}`, { ...json, resourceId: a.subject }, { ms: 1500 }));
}
for (const [how, path] of [
  ['two runs', t => `${t.base}/resume-async?runId=mine&runId=${t.runId}`],
  ['two runs, the other first', t => `${t.base}/resume-async?runId=${t.runId}&runId=mine`],
  ['encoded name', t => `${t.base}/resume-async?run%49d=${t.runId}`],
  ['array', t => `${t.base}/resume-async?runId[]=${t.runId}`],
  ['encoded path', t => `${t.base}/%72esume-async?runId=${t.runId}`],
  ['a closing slash', t => `${t.base}/resume-async/?runId=${t.runId}`],
]) probe(`workflow, resume, ${how}`, 'asking', (b, t) => b.post(path(t), body));
probe('workflow, resume, run in the body', 'asking', (b, t) => b.post(`${t.base}/resume-async`, { ...body, runId: t.runId }));
probe('workflow, resume under another workflow', 'asking', (b, t) => b.post(`/api/workflows/tickWorkflow/resume-async?runId=${t.runId}`, body));
for (const thing of ['asking', 'ended']) {
  probe(`workflow, get, ${thing}`, thing, (b, t) => b.get(`${t.base}/runs/${t.runId}`));
  probe(`workflow, get, some fields, ${thing}`, thing, (b, t) => b.get(`${t.base}/runs/${t.runId}?fields=payload,steps,result&withNestedWorkflows=true`));
  probe(`workflow, get as the other, ${thing}`, thing, (b, t, a) => b.get(`${t.base}/runs/${t.runId}?resourceId=${q(a.subject)}`));
  probe(`workflow, delete, ${thing}`, thing, (b, t) => b.del(`${t.base}/runs/${t.runId}`));
  probe(`workflow, list of all, ${thing}`, thing, (b, t) => b.get(`${t.base}/runs?perPage=100`));
  probe(`workflow, list of the other, ${thing}`, thing, (b, t, a) => b.get(`${t.base}/runs?resourceId=${q(a.subject)}`));
  probe(`workflow, list, own, then the other, ${thing}`, thing, (b, t, a) => b.get(`${t.base}/runs?resourceId=${q(b.subject)}&resourceId=${q(a.subject)}`));
  probe(`workflow, list, empty owner, ${thing}`, thing, (b, t) => b.get(`${t.base}/runs?resourceId=`));
  probe(`workflow, list, encoded name, ${thing}`, thing, (b, t, a) => b.get(`${t.base}/runs?resource%49d=${q(a.subject)}`));
}
probe('workflow, get, encoded path', 'asking', (b, t) => b.get(`${t.base}/%72uns/${t.runId}`));
probe('workflow, get, encoded workflow', 'asking', (b, t) => b.get(`/api/workflows/%61skWorkflow/runs/${t.runId}`));
probe('workflow, get under another workflow', 'asking', (b, t) => b.get(`/api/workflows/tickWorkflow/runs/${t.runId}`));
probe('workflow, create over it', 'asking', (b, t) => b.post(`${t.base}/create-run?runId=${t.runId}`, { resourceId: b.subject }));
probe('workflow, create over it, then get', 'asking', async (b, t) => {
  await b.post(`${t.base}/create-run?runId=${t.runId}`, { resourceId: b.subject });
  await b.get(`${t.base}/runs/${t.runId}`);
});
probe('workflow, create for the other', 'nothing', (b, t, a) => b.post('/api/workflows/askWorkflow/create-run', { resourceId: a.subject }));
for (const verb of ['start', 'start-async', 'stream'])
  probe(`workflow, ${verb} for the other`, 'nothing', (b, t, a) => b.post(`/api/workflows/askWorkflow/${verb}?runId=${newId('run')}`, { inputData: { note: b.mark }, resourceId: a.subject }));
for (const verb of ['cancel', '%63ancel'])
  probe(`workflow, ${verb} at work`, 'working', (b, t) => b.post(`${t.base}/runs/${t.runId}/${verb}`));
probe('workflow, cancel what waits', 'asking', (b, t) => b.post(`${t.base}/runs/${t.runId}/cancel`));
for (const verb of ['observe', 'observe-stream-legacy', 'stream', 'stream-legacy', 'restart', 'restart-async'])
  probe(`workflow, ${verb} at work`, 'working', (b, t) => b.post(`${t.base}/${verb}?runId=${t.runId}`, verb.startsWith('o') ? undefined : { inputData: { note: b.mark } }, { ms: 600 }));
for (const verb of ['restart-all-active-workflow-runs', 'restart-all-active-workflow-runs-async'])
  probe(`workflow, ${verb}`, 'working', (b, t) => b.post(`${t.base}/${verb}`, undefined, { ms: 1500 }));
probe('workflow, a step', 'asking', (b, t) => b.post(`${t.base}/runs/${t.runId}/steps/execute`, { stepId: 'ask', executionContext: { workflowId: 'askWorkflow', runId: t.runId, executionPath: [0] }, stepResults: {}, input: { note: 'x' }, workflowId: 'askWorkflow', runId: t.runId, resumeData: { answer: 'by b' } }));
probe('workflow, events', 'asking', async (b, t) => {
  const data = { workflowId: 'askWorkflow', runId: t.runId, executionPath: [0], resumeSteps: ['ask'], resumeData: { answer: 'by b' }, stepResults: {}, prevResult: { status: 'success', output: { note: 'x' } }, requestContext: {} };
  for (const type of ['workflow.cancel', 'workflow.resume', 'workflow.step.run', 'workflow.fail', 'workflow.end'])
    await b.post('/api/workflows/events', { event: { id: newId('e'), type, runId: t.runId, createdAt: new Date().toISOString(), data } });
});
for (const base of ['/api/agent-builder/askWorkflow', '/api/agent-builder/tickWorkflow'])
  probe(`builder, ${base.split('/').at(-1)}`, 'asking', async (b, t, a) => {
    await b.get(`${base}/runs?resourceId=${q(a.subject)}`);
    await b.get(`${base}/runs/${t.runId}`);
    await b.post(`${base}/resume-async?runId=${t.runId}`, body);
    await b.post(`${base}/observe?runId=${t.runId}`, undefined, { ms: 500 });
    await b.post(`${base}/runs/${t.runId}/cancel`);
  });

export default probes;
