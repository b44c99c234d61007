// Everything that somebody does with what is their own, through the real @mastra/client-js (and useChat's requests).
// Prints {OPERATION: {statuses, shape}}: what came back without its values, so that two servers can be compared.
//
//   node calls.mjs [OPERATION ...]     environment: see rig.mjs; PART=1/3: every third of them
import { createHash, randomBytes } from 'node:crypto';
import { MastraClient } from '@mastra/client-js';
import { mint, newId, sleep } from './rig.mjs';

const { BASE_URL: baseUrl } = process.env;
// ---- shapes ----------------------------------------------------------------------

/** What a value is made of, without the values: names of fields, kinds of values, one for all members of a list. */
function shapeOf(value) {
  if (Array.isArray(value)) return [...new Set(value.map(one => JSON.stringify(shapeOf(one))))].sort();
  if (value instanceof Date) return 'date';
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  const keys = Object.keys(value).filter(key => key !== 'requestContext'); // who asks, where Mastra knows
  return Object.fromEntries(keys.sort().map(key => [key.replace(/^[0-9a-f-]{36}$/, 'ID'), shapeOf(value[key])]));
}

/** The kinds of a stream's chunks, in the order in which they first came. */
async function kinds(stream) {
  const seen = new Set();
  const note = chunk => seen.add(chunk?.type ?? chunk?.kind ?? typeof chunk);
  if (stream.processDataStream) await stream.processDataStream({ onChunk: async chunk => note(chunk) });
  else for await (const chunk of stream) note(chunk);
  return [...seen];
}

/** What approves a run names the run alone; what resumes it names its memory, too. */
const withMemory = (run, { memory }) => Object.defineProperty(run, 'memory', { value: memory });

// ---- somebody, and the operations -----------------------------------------------------

/** Everything that one fresh caller can do; the statuses that they meet are put on `statuses`. */
function world(statuses) {
  const subject = newId('carl');
  const token = mint({ sub: subject });
  const resourceId = subject;
  const agentId = 'weatherAgent';
  const client = new MastraClient({
    baseUrl,
    retries: 0,
    headers: { Authorization: `Bearer ${token}` },
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      statuses.push(answer.status);
      return answer;
    },
  });
  const agent = client.getAgent(agentId);
  const plain = client.getAgent('plainAgent');

  async function wholeText(answer) {
    statuses.push(answer.status);
    return await answer.text();
  }

  const post = (path, json, more = {}) =>
    fetch(`${baseUrl}${path}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(json),
      ...more,
    });

  // ---- what somebody has -------------------------------------------------------------

  const memoryOf = thread => ({ memory: { thread, resource: resourceId } });

  async function talked(text = 'hello') {
    const threadId = newId('t');
    const answer = await agent.generate(text, memoryOf(threadId));
    return { threadId, ...answer };
  }

  async function waits(who = agent, memory = memoryOf(newId('t'))) {
    const answer = await who.generate('call pay {"note":"mine"}', memory);
    const { runId, suspendPayload } = answer;
    return withMemory({ runId, toolCallId: suspendPayload.toolCallId }, memory);
  }

  /** The run of a streamed answer that waits, as a page learns of it. */
  async function waitsInStream(who = agent, memory = memoryOf(newId('t'))) {
    const stream = await who.stream('call pay {"note":"mine"}', memory);
    let found = null;
    await stream.processDataStream({
      onChunk: async chunk => {
        if (chunk.type === 'tool-call-approval') found = { runId: chunk.runId, toolCallId: chunk.payload.toolCallId };
      },
    });
    return withMemory(found, memory);
  }

  async function asked() {
    const workflow = client.getWorkflow('askWorkflow');
    const run = await workflow.createRun({ resourceId });
    await run.startAsync({ inputData: { note: 'mine' }, resourceId });
    return { workflow, run };
  }

  const answered = { step: 'ask', resumeData: { answer: 'yes' } };
  const words = { resource: 'printer 4', resourceId: 'printer-4', threadId: 'M8', thread: 'M8', memory: '8 GB', runId: 'morning', user: 'ann', conversation: 'x' };
  const ticking = () => client.getWorkflow('tickWorkflow').createRun({ resourceId });

  async function traced() {
    const { traceId, threadId } = await talked();
    for (let i = 0; i < 60; i++) {
      const { spans } = await client.listTraces({ filters: { resourceId } });
      if (spans.some(span => span.traceId === traceId && span.endedAt)) return { traceId, threadId, spans };
      await sleep(50);
    }
    throw new Error('no trace came');
  }

  async function scheduled() {
    const { threadId } = await talked();
    return client.createSchedule({ agentId, cron: '0 0 1 1 *', prompt: 'remember', threadId, resourceId });
  }

  async function tasked() {
    await talked('call report {"note":"mine"}');
    const { tasks } = await client.listBackgroundTasks({ resourceId });
    return tasks[0];
  }

  const conversing = () => client.conversations.create({ agent_id: agentId, resource_id: resourceId, title: 'mine' });
  const responding = async more => client.responses.create({ agent_id: agentId, input: 'hello', store: true, ...more });

  const a2a = client.getA2A(agentId);
  const a2aV1 = client.getA2AV1(agentId);
  const said = more => ({ message: { kind: 'message', messageId: newId('m'), role: 'user', parts: [{ kind: 'text', text: 'hello' }], ...more } });
  const told = async () => (await a2a.sendMessage(said())).result;

  const ui = (role, text, id = newId('m')) => ({ id, role, parts: [{ type: 'text', text }] });

  /** Two turns of a page that sends its whole history each time, as useChat does; gives what the thread then holds. */
  async function chat(path) {
    const thread = newId('t');
    const first = [ui('user', 'one')];
    const one = await wholeText(await post(path, { id: thread, messages: first, trigger: 'submit-message', ...memoryOf(thread) }));
    const id = /"messageId":"([^"]+)"/.exec(one)?.[1];
    const text = [...one.matchAll(/"delta":"([^"]*)"/g)].map(found => found[1]).join('');
    const history = [...first, ui('assistant', text, id), ui('user', 'two')];
    const two = await wholeText(await post(path, { id: thread, messages: history, trigger: 'submit-message', ...memoryOf(thread) }));
    await wholeText(await post(path, { id: thread, messages: [...history, ui('assistant', 'w0 ', /"messageId":"([^"]+)"/.exec(two)?.[1]), ui('user', 'three')], trigger: 'submit-message', ...memoryOf(thread) }));
    await sleep(150);
    const { messages } = await client.listThreadMessages(thread, { agentId, resourceId });
    return { kinds: [...new Set([...one.matchAll(/"type":"([^"]+)"/g)].map(found => found[1]))], roles: messages.map(message => message.role).join() };
  }

  // ---- the operations ------------------------------------------------------------------

  const operations = {
    // agents and tools
    'listAgents': async () => Object.keys(await client.listAgents()).join(),
    'agent.details': () => agent.details(),
    'listAgentsModelProviders': async () => typeof (await client.listAgentsModelProviders()),
    'listTools': () => client.listTools(),
    'tool.details': () => client.getTool('get-weather').details(),
    'tool.execute': () => client.getTool('get-weather').execute({ data: { city: 'Oslo' } }),
    'tool.execute, with a request context': async () => (await client.getTool('who-am-i').execute({ data: {}, requestContext: { tier: 'gold' } })).tier,
    'agent.getTool': () => agent.getTool('get-weather'),
    'agent.executeTool': () => agent.executeTool('get-weather', { data: { city: 'Oslo' } }),
    'mcp: servers': () => client.getMcpServers(),
    'mcp: tools': () => client.getMcpServerTools('weather'),
    'mcp: tool.execute': () => client.getMcpServerTool('weather', 'get-weather').execute({ data: { city: 'Oslo' } }),
    'agent.listen': async () => {
      const audio = randomBytes(700_000);
      const { text } = await agent.voice.listen(new Blob([audio]));
      return text === createHash('sha256').update(audio).digest('hex');
    },

    // answers
    'agent.generate, without a thread': async () => {
      const { text, ...rest } = await agent.generate('Weather in London');
      return { text, rest: Object.keys(rest).sort() };
    },
    'agent.generate, without memory': async () => (await plain.generate('Weather in London')).text,
    'agent.generate, in a thread': async () => {
      const { threadId } = await talked('one');
      const { text } = await agent.generate('tell all', memoryOf(threadId));
      return [text.includes('one'), text.includes('w0 w1 w2')];
    },
    'agent.generate, thread as an object': async () => (await agent.generate('hello', { memory: { thread: { id: newId('t'), title: 'mine', metadata: { x: 1 } }, resource: resourceId } })).text,
    'agent.generate, with a file of 2 MB': async () => {
      const data = `data:image/png;base64,${randomBytes(1_500_000).toString('base64')}`;
      const content = [{ type: 'text', text: 'look' }, { type: 'file', data, mediaType: 'image/png' }];
      return (await agent.generate([{ role: 'user', content }], memoryOf(newId('t')))).text;
    },
    'agent.generate, a run of one\'s own': async () => typeof (await agent.generate('hello', { runId: newId('run') })).runId,
    'agent.generate, with a request context': async () => JSON.stringify((await plain.generate('call who-am-i {"x": 1}', { requestContext: { tier: 'gold' } })).toolResults ?? '').includes('gold'),
    'agent.stream, without a thread': async () => kinds(await agent.stream('hello')),
    'agent.stream, in a thread': async () => kinds(await agent.stream('hello', memoryOf(newId('t')))),
    'agent.stream, a tool': async () => kinds(await agent.stream('call get-weather {"city":"Oslo"}')),
    'agent.streamUntilIdle': async () => kinds(await agent.streamUntilIdle('hello', memoryOf(newId('t')))),
    'agent.network': async () => kinds(await client.getAgent('routingAgent').network('hello', memoryOf(newId('t')))),
    'agent.stream, aborted': async () => {
      const leaving = new AbortController();
      const mark = newId('mark');
      const call = new MastraClient({ baseUrl, headers: { Authorization: `Bearer ${token}` }, abortSignal: leaving.signal }).getAgent(agentId);
      const stream = await call.stream(`${mark} n=60 ms=30`);
      await stream.processDataStream({ onChunk: async chunk => chunk.type === 'text-delta' && leaving.abort() }).catch(() => {});
      for (let i = 0; i < 60; i++) {
        const log = await (await fetch(`${process.env.UPSTREAM ?? baseUrl}/rig/model-log`)).json();
        const end = log.find(one => one.shown.includes(mark))?.end;
        if (end) return end;
        await sleep(50);
      }
      return 'the model went on';
    },
    'chat of an agent, three turns': () => chat('/chat/weatherAgent'),
    'chat, three turns': () => chat('/chat'),
    'chat, without a thread': async () => (await wholeText(await post('/chat', { messages: [ui('user', 'one')] }))).includes('w0'),
    'history with ids, by generate': async () => {
      const thread = newId('t');
      const history = [{ id: newId('m'), role: 'user', content: 'one' }];
      await agent.generate(history, memoryOf(thread));
      await agent.generate([...history, { id: newId('m'), role: 'user', content: 'two' }], memoryOf(thread));
      const { messages } = await client.listThreadMessages(thread, { agentId, resourceId });
      return messages.map(message => message.role).join();
    },

    // names of owners among one's own words
    'tool.execute, names of owners in its data': () => client.getTool('echo').execute({ data: words }),
    'agent.executeTool, names of owners in its data': () => agent.executeTool('echo', { data: words }),
    'mcp: tool.execute, names of owners in its data': () => client.getMcpServerTool('weather', 'echo').execute({ data: words }),
    'agent.generate, names of owners in a message': async () =>
      (await agent.generate([{ role: 'user', content: [{ type: 'text', text: 'hello', providerOptions: { x: words } }] }], memoryOf(newId('t')))).text,
    'agent.generate, names of owners in a tool of a client': async () =>
      (await agent.generate('hello', { clientTools: { find: { id: 'find', description: 'finds', inputSchema: { type: 'object', properties: { resource: { type: 'string' }, threadId: { type: 'string' }, runId: { type: 'string' }, memory: { type: 'string' } } } } } })).text,
    'agent.generate, names of owners in the shape of an answer': async () =>
      typeof (await agent.generate('hello', { structuredOutput: { schema: { type: 'object', properties: { resource: { type: 'string' }, thread: { type: 'string' } } }, errorStrategy: 'warn' } })),
    'agent.generate, with metadata of its trace': async () => typeof (await agent.generate('hello', { tracingOptions: { metadata: { experiment: 'x' } } })).traceId,
    'agent.generate, with options of its memory': async () => (await agent.generate('hello', { memory: { ...memoryOf(newId('t')).memory, options: { lastMessages: 5 } } })).text,
    'createMemoryThread, names of owners in its metadata': () => client.createMemoryThread({ resourceId, threadId: newId('t'), title: 'mine', metadata: words, agentId }),
    'run.startAsync, names of owners in its input': async () => {
      const run = await client.getWorkflow('echoWorkflow').createRun();
      return (await run.startAsync({ inputData: words, initialState: words })).status;
    },
    'run.resumeAsync, names of owners in its answer': async () =>
      (await (await asked()).run.resumeAsync({ step: 'ask', resumeData: { answer: 'yes', ...words } })).status,
    'saveMessageToMemory, names of owners in its metadata': async () => {
      const { threadId } = await talked();
      const content = { format: 2, parts: [{ type: 'text', text: 'saved' }], content: 'saved', metadata: words };
      return (await client.saveMessageToMemory({ agentId, messages: [{ id: newId('m'), role: 'user', threadId, resourceId, type: 'text', createdAt: new Date(), content }] })).messages.length;
    },
    'createSchedule, with metadata': async () => {
      const { threadId } = await talked();
      return client.createSchedule({ agentId, cron: '0 0 1 1 *', prompt: 'remember', threadId, resourceId, metadata: { note: 'x' } });
    },

    // threads
    'createMemoryThread': () => client.createMemoryThread({ resourceId, threadId: newId('t'), title: 'mine', metadata: { x: 1 }, agentId }),
    'createMemoryThread, id by Mastra': () => client.createMemoryThread({ resourceId, title: 'mine', agentId }),
    'createMemoryThread, again': async () => {
      const { threadId } = await talked();
      return client.createMemoryThread({ resourceId, threadId, title: 'renamed', agentId });
    },
    'listMemoryThreads': async () => {
      await talked();
      return client.listMemoryThreads({ resourceId, agentId });
    },
    'thread.get': async () => client.getMemoryThread({ threadId: (await talked()).threadId, agentId }).get(),
    'thread.update': async () => client.getMemoryThread({ threadId: (await talked()).threadId, agentId }).update({ title: 'new', metadata: { x: 2 }, resourceId }),
    'thread.listMessages': async () => client.getMemoryThread({ threadId: (await talked()).threadId, agentId }).listMessages({ resourceId }),
    'thread.listMessages, with include': async () => {
      const { threadId } = await talked();
      const thread = client.getMemoryThread({ threadId, agentId });
      const { messages } = await thread.listMessages();
      return (await thread.listMessages({ include: [{ id: messages[0].id, withNextMessages: 1 }] })).messages.length;
    },
    'listThreadMessages': async () => client.listThreadMessages((await talked()).threadId, { agentId }),
    'saveMessageToMemory': async () => {
      const { threadId } = await talked();
      const content = { format: 2, parts: [{ type: 'text', text: 'saved' }], content: 'saved' };
      const id = newId('m');
      const saved = await client.saveMessageToMemory({ agentId, messages: [{ id, role: 'user', threadId, resourceId, type: 'text', createdAt: new Date(), content }] });
      const { messages } = await client.listThreadMessages(threadId, { agentId });
      return { saved, count: messages.length };
    },
    'thread.deleteMessages': async () => {
      const { threadId } = await talked();
      const thread = client.getMemoryThread({ threadId, agentId });
      const { messages } = await thread.listMessages();
      await thread.deleteMessages(messages.map(message => message.id));
      return (await thread.listMessages()).messages.length;
    },
    'thread.clone': async () => client.getMemoryThread({ threadId: (await talked()).threadId, agentId }).clone({ title: 'copy', resourceId }),
    'thread.clone, plainly': async () => {
      const { thread } = await client.getMemoryThread({ threadId: (await talked()).threadId, agentId }).clone();
      return (await client.listThreadMessages(thread.id, { agentId })).messages.length;
    },
    'thread.delete': async () => {
      const { threadId } = await talked();
      const gone = await client.getMemoryThread({ threadId, agentId }).delete();
      return { gone, left: (await client.listMemoryThreads({ resourceId, agentId })).threads.some(thread => thread.id === threadId) };
    },
    'workingMemory': async () => {
      const threadId = newId('t');
      await client.getAgent('recallAgent').generate('hello', memoryOf(threadId));
      const updated = await client.updateWorkingMemory({ agentId: 'recallAgent', threadId, workingMemory: '# mine', resourceId });
      return { updated, read: await client.getWorkingMemory({ agentId: 'recallAgent', threadId, resourceId }) };
    },
    'searchMemory': async () => {
      const threadId = newId('t');
      await client.getAgent('recallAgent').generate('apples and pears', memoryOf(threadId));
      const found = await client.searchMemory({ agentId: 'recallAgent', resourceId, threadId, searchQuery: 'apples' });
      return found.results.length > 0;
    },
    'recall in another thread': async () => {
      const recall = client.getAgent('recallAgent');
      await recall.generate('my word is zebra', memoryOf(newId('t')));
      return (await recall.generate('tell all about my word', memoryOf(newId('t')))).text.includes('zebra');
    },
    'getMemoryStatus': () => client.getMemoryStatus(agentId),
    'getMemoryConfig': () => client.getMemoryConfig({ agentId }),

    // approvals
    'agent.listSuspendedRuns': async () => {
      await waits();
      return agent.listSuspendedRuns({ resourceId });
    },
    'agent.approveToolCall': async () => kinds(await agent.approveToolCall(await waitsInStream())),
    'agent.declineToolCall': async () => kinds(await agent.declineToolCall(await waitsInStream())),
    'agent.approveToolCallGenerate': async () => (await agent.approveToolCallGenerate(await waits())).text,
    'agent.declineToolCallGenerate': async () => (await agent.declineToolCallGenerate(await waits())).text,
    'agent.approveToolCall, without a thread': async () => kinds(await agent.approveToolCall(await waitsInStream(agent, {}))),
    'agent.approveToolCall, without memory': async () => kinds(await plain.approveToolCall(await waitsInStream(plain, {}))),
    'agent.declineToolCall, without memory': async () => kinds(await plain.declineToolCall(await waitsInStream(plain, {}))),
    'agent.approveToolCallGenerate, without memory': async () => (await plain.approveToolCallGenerate(await waits(plain, {}))).text,
    'agent.approveToolCall, a run of one\'s own, without memory': async () => kinds(await plain.approveToolCall(await waitsInStream(plain, { runId: newId('run') }))),
    'agent.resumeStream': async () => {
      const run = await waits();
      return kinds(await agent.resumeStream({ approved: true }, { runId: run.runId, toolCallId: run.toolCallId, memory: run.memory }));
    },
    'agent.resumeStream, without memory': async () => {
      const run = await waits(plain, {});
      return kinds(await plain.resumeStream({ approved: true }, { runId: run.runId, toolCallId: run.toolCallId }));
    },
    'agent.resumeStreamUntilIdle': async () => {
      const run = await waits();
      return kinds(await agent.resumeStreamUntilIdle({ approved: true }, { runId: run.runId, toolCallId: run.toolCallId, memory: run.memory }));
    },
    'agent.sendToolApproval': async () => {
      const run = await waits();
      return agent.sendToolApproval({ threadId: run.memory.thread, resourceId, toolCallId: run.toolCallId, approved: true });
    },

    // threads that listen
    'agent.sendMessage': async () => agent.sendMessage({ message: 'hello', threadId: newId('t'), resourceId }),
    'agent.queueMessage': async () => agent.queueMessage({ message: 'hello', threadId: newId('t'), resourceId }),
    'agent.sendSignal': async () => agent.sendSignal({ signal: { type: 'user-message', contents: 'hello' }, threadId: newId('t'), resourceId, ifIdle: { behavior: 'wake' } }),
    'agent.sendMessage, into an answer': async () => {
      const thread = newId('t');
      const stream = await agent.stream('n=20 ms=20', memoryOf(thread));
      const reading = kinds(stream);
      await sleep(60);
      const { accepted } = await agent.sendMessage({ message: 'tell more', threadId: thread, resourceId });
      await reading;
      await sleep(100);
      const { messages } = await client.listThreadMessages(thread, { agentId });
      return { accepted, stands: JSON.stringify(messages).includes('tell more') };
    },
    'agent.subscribeToThread': async () => {
      const thread = newId('t');
      const subscription = await agent.subscribeToThread({ threadId: thread, resourceId });
      const seen = new Set();
      const reading = subscription.processDataStream({ onChunk: async chunk => seen.add(chunk.type) }).catch(() => {});
      await sleep(50);
      await agent.sendMessage({ message: 'hello', threadId: thread, resourceId });
      for (let i = 0; i < 60 && !seen.has('finish'); i++) await sleep(50);
      subscription.unsubscribe();
      await Promise.race([reading, sleep(200)]);
      return [seen.has('text-delta'), seen.has('finish')];
    },
    'agent.abortThread': async () => {
      const thread = newId('t');
      const reading = kinds(await agent.stream('n=60 ms=30', memoryOf(thread)));
      await sleep(80);
      const aborted = await agent.abortThread({ threadId: thread, resourceId });
      await reading;
      return aborted;
    },

    // workflows
    'listWorkflows': () => client.listWorkflows(),
    'workflow.details': () => client.getWorkflow('askWorkflow').details(),
    'workflow.getSchema': () => client.getWorkflow('askWorkflow').getSchema(),
    'run.start': async () => (await ticking()).start({ inputData: { note: 'x', ticks: 1 } }),
    'run.startAsync': async () => (await (await ticking()).startAsync({ inputData: { note: 'x', ticks: 1 } })).status,
    'run.stream': async () => kinds(await (await ticking()).stream({ inputData: { note: 'x', ticks: 2 } })),
    'run.observe': async () => {
      const run = await ticking();
      await run.start({ inputData: { note: 'x', ticks: 10 } });
      return typeof (await kinds(await run.observe()));
    },
    'run.resume': async () => (await asked()).run.resume(answered),
    'run.resumeAsync': async () => (await (await asked()).run.resumeAsync(answered)).status,
    'run.resumeNoWait': async () => (await asked()).run.resumeNoWait(answered),
    'run.resumeStream': async () => kinds(await (await asked()).run.resumeStream(answered)),
    'run.cancel': async () => (await asked()).run.cancel(),
    'run.timeTravelAsync': async () => {
      const run = await ticking();
      await run.startAsync({ inputData: { note: 'x', ticks: 1 } });
      return (await run.timeTravelAsync({ step: 'tick', inputData: { note: 'y', ticks: 1 } })).status;
    },
    'run.timeTravelStream': async () => {
      const run = await ticking();
      await run.startAsync({ inputData: { note: 'x', ticks: 1 } });
      return kinds(await run.timeTravelStream({ step: 'tick', inputData: { note: 'y', ticks: 1 } }));
    },
    'run.restart': async () => {
      const run = await ticking();
      await run.start({ inputData: { note: 'x', ticks: 20 } });
      await sleep(60);
      return run.restart({});
    },
    'workflow.runs': async () => {
      const { workflow } = await asked();
      return workflow.runs({ resourceId });
    },
    'workflow.runById': async () => {
      const { workflow, run } = await asked();
      return workflow.runById(run.runId);
    },
    'workflow.deleteRunById': async () => {
      const { workflow, run } = await asked();
      return workflow.deleteRunById(run.runId);
    },
    'run.startAsync, of an id of one\'s own': async () => {
      const run = await client.getWorkflow('askWorkflow').createRun({ runId: newId('run') });
      return (await run.startAsync({ inputData: { note: 'x' } })).status;
    },

    // traces and what lies beside them
    'listTraces': async () => (await traced()).spans,
    'listTracesLight': async () => {
      await traced();
      return client.listTracesLight({ filters: { resourceId } });
    },
    'getTrace': async () => client.getTrace((await traced()).traceId),
    'getTraceLight': async () => client.getTraceLight((await traced()).traceId),
    'getSpan': async () => {
      const { traceId, spans } = await traced();
      return client.getSpan(traceId, spans.find(span => span.traceId === traceId).spanId);
    },
    'createFeedback': async () => {
      const { traceId } = await traced();
      await client.createFeedback({ feedback: { traceId, feedbackSource: 'user', feedbackType: 'rating', value: 1, comment: 'good', resourceId } });
      await sleep(100);
      return (await client.listFeedback({ filters: { resourceId } })).feedback.length;
    },
    'createScore': async () => {
      const { traceId } = await traced();
      await client.createScore({ score: { traceId, scorerId: 'x', scorerName: 'x', score: 1, reason: 'good', resourceId } });
      await sleep(100);
      return (await client.listScores({ filters: { resourceId } })).scores.length;
    },
    'listFeedback': () => client.listFeedback({ filters: { resourceId } }),
    'listScores': () => client.listScores({ filters: { resourceId } }),
    'listLogsVNext': () => client.listLogsVNext({ filters: { resourceId } }),

    // tasks and schedules
    'listBackgroundTasks': async () => {
      await tasked();
      return client.listBackgroundTasks({ resourceId });
    },
    'getBackgroundTask': async () => client.getBackgroundTask((await tasked()).id),
    'streamBackgroundTasks': async () => {
      const stream = await client.streamBackgroundTasks({ resourceId });
      const reader = stream.getReader();
      const first = reader.read();
      await tasked();
      const { value } = await first;
      await reader.cancel();
      return typeof value;
    },
    'createSchedule': () => scheduled(),
    'listSchedules': async () => {
      await scheduled();
      return client.listSchedules({ resourceId });
    },
    'getSchedule': async () => client.getSchedule((await scheduled()).id),
    'updateSchedule': async () => client.updateSchedule((await scheduled()).id, { prompt: 'new' }),
    'pauseSchedule': async () => client.pauseSchedule((await scheduled()).id),
    'resumeSchedule': async () => {
      const { id } = await scheduled();
      await client.pauseSchedule(id);
      return client.resumeSchedule(id);
    },
    'runSchedule': async () => {
      const { id } = await scheduled();
      await client.runSchedule(id);
      await sleep(200);
      return (await client.listScheduleTriggers(id)).triggers.length;
    },
    'deleteSchedule': async () => client.deleteSchedule((await scheduled()).id),

    // OpenAI's API
    'conversations.create': () => conversing(),
    'conversations.retrieve': async () => client.conversations.retrieve((await conversing()).id),
    'conversations.items.list': async () => {
      const { id } = await conversing();
      await responding({ conversation_id: id });
      return client.conversations.items.list(id);
    },
    'conversations.delete': async () => client.conversations.delete((await conversing()).id),
    'responses.create': async () => responding({ conversation_id: (await conversing()).id }),
    'responses.create, without a conversation': async () => (await client.responses.create({ agent_id: agentId, input: 'hello' })).status,
    'responses.create, kept without a conversation': async () => (await responding()).status,
    'responses.create, after another': async () => {
      const { id } = await responding({ conversation_id: (await conversing()).id });
      return (await responding({ previous_response_id: id })).status;
    },
    'responses.create, after one kept without a conversation': async () => {
      const { id } = await responding();
      return (await responding({ previous_response_id: id })).status;
    },
    'responses.stream': async () => kinds(await client.responses.stream({ agent_id: agentId, input: 'hello', conversation_id: (await conversing()).id })),
    'responses.retrieve': async () => client.responses.retrieve((await responding({ conversation_id: (await conversing()).id })).id),
    'responses.delete': async () => client.responses.delete((await responding({ conversation_id: (await conversing()).id })).id),

    // agent to agent
    'a2a.getAgentCard': async () => Object.keys(await a2a.getAgentCard()).sort(),
    'a2a.sendMessage': () => a2a.sendMessage(said()),
    'a2a.sendMessage, in a context': async () => {
      const { contextId } = await told();
      return (await a2a.sendMessage(said({ contextId }))).result.contextId === contextId;
    },
    'a2a.sendMessageStream': async () => kinds(await a2a.sendMessageStream(said())),
    'a2a.getTask': async () => a2a.getTask({ id: (await told()).id }),
    'a2a, its card, version 1': async () => Object.keys(await a2aV1.getAgentCard()).sort(),
    'a2a.sendMessage, version 1': async () => a2aV1.sendMessage({ message: { messageId: newId('m'), parts: [{ content: { $case: 'text', value: 'hello' } }], role: 1 } }),

    // agent controllers
    'listAgentControllers': () => client.listAgentControllers(),
    'controller: session, threads, message': async () => {
      const session = client.getAgentController('desk').session(resourceId);
      const made = await session.create();
      const thread = await session.createThread('mine');
      const { threads } = await session.listThreads().then(list => (Array.isArray(list) ? { threads: list } : list));
      await session.sendMessage('hello');
      return { made, thread, threads: threads.length > 0, state: await session.state() };
    },
  };
  return operations;
}

const AT_ONCE = 6;
const [part, parts] = (process.env.PART ?? '1/1').split('/').map(Number);
const all = Object.keys(world([])).filter((name, i) => i % parts === part - 1);
const wanted = process.argv.length > 2 ? process.argv.slice(2) : all;
const found = {};

async function run(name) {
  const statuses = [];
  const operations = world(statuses);
  const limit = sleep(30_000).then(() => Promise.reject(new Error('no end within 30 s')));
  limit.catch(() => {});
  try {
    const value = await Promise.race([operations[name](), limit]);
    const isPlain = Array.isArray(value) ? typeof value[0] !== 'object' : typeof value !== 'object';
    found[name] = { statuses: [...statuses], shape: isPlain ? value : shapeOf(value) };
  } catch (problem) {
    const said = String(problem?.message ?? problem).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32,64}/g, 'ID');
    found[name] = { statuses: [...statuses], failed: said.slice(0, 300) };
  }
}

const queue = [...wanted];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let name = queue.shift(); name; name = queue.shift()) await run(name);
  }),
);
process.stdout.write(JSON.stringify(Object.fromEntries(wanted.map(name => [name, found[name]]))), () => process.exit());
