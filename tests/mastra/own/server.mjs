// Real Mastra servers with everything that has an owner: threads, runs that wait for an approval, workflows that are
// suspended, traces, background tasks, schedules, conversations, vectors, stored agents. One process, so that the
// packages are loaded once; each server has a store of its own. Prints one JSON line when all listen.
//
//   PORTS={"none": 4111, "jwt": 4112, "mapped": 4113}
//     none      no auth of its own, everything in memory
//     jwt       MastraJwtAuth with MASTRA_JWT_SECRET, LibSQL
//     mapped    the same, with mapUserToResourceId: user => user.sub
//
// GET /rig/model-log tells a test what the models were shown; GET /rig/paid what the tool `pay` did;
// GET /rig/state?owner=NAME what the store has of somebody.
process.env.MASTRA_TELEMETRY_DISABLED ??= '1';
process.env.DO_NOT_TRACK ??= '1';

import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chatRoute } from '@mastra/ai-sdk';
import { MastraJwtAuth } from '@mastra/auth';
import { Agent } from '@mastra/core/agent';
import { AgentController } from '@mastra/core/agent-controller';
import { Mastra } from '@mastra/core/mastra';
import { registerApiRoute } from '@mastra/core/server';
import { InMemoryStore, MastraCompositeStore } from '@mastra/core/storage';
import { createTool } from '@mastra/core/tools';
import { MastraVoice } from '@mastra/core/voice';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import { createNodeServer } from '@mastra/deployer/server';
import { LibSQLStore, LibSQLVector } from '@mastra/libsql';
import { MCPServer } from '@mastra/mcp';
import { Memory } from '@mastra/memory';
import { MastraStorageExporter, Observability } from '@mastra/observability';
import { z } from 'zod';
import { embedder, model, modelLog } from './model.mjs';

const { PORTS = '{"none": 4111}', MASTRA_JWT_SECRET } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'mastra-own-'));
const paid = [];
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

// ---- tools -------------------------------------------------------------------

const note = z.object({ note: z.string() });

const getWeather = createTool({
  id: 'get-weather',
  description: 'The weather of a city (made up)',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => ({ city, tempC: 21 }),
});

const pay = createTool({
  id: 'pay',
  description: 'Spends money; a person has to approve',
  inputSchema: note,
  requireApproval: true,
  execute: async ({ note }) => {
    paid.push(note);
    return { paid: note };
  },
});

// What a tool believes about who asks
const whoAmI = createTool({
  id: 'who-am-i',
  description: 'Says who the caller is',
  inputSchema: z.object({}),
  execute: async (input, { requestContext }) => ({
    user: requestContext?.get('user') ?? null,
    userRoles: requestContext?.get('userRoles') ?? null,
    userPermissions: requestContext?.get('userPermissions') ?? null,
    tier: requestContext?.get('tier') ?? null,
    resourceId: requestContext?.get('mastra__resourceId') ?? null,
  }),
});

const anything = z.record(z.string(), z.any());
const echo = createTool({ id: 'echo', description: 'Gives back its input', inputSchema: anything, execute: async input => input });

const report = createTool({
  id: 'report',
  description: 'Works in the background',
  inputSchema: note,
  background: { enabled: true },
  execute: async ({ note }) => {
    await sleep(30);
    return { report: note };
  },
});

// ---- workflows ---------------------------------------------------------------

const tick = createStep({
  id: 'tick',
  inputSchema: z.object({ note: z.string(), ticks: z.number().optional() }),
  outputSchema: note,
  execute: async ({ inputData, writer, abortSignal }) => {
    for (let tick = 0; tick < (inputData.ticks ?? 3) && !abortSignal?.aborted; tick++) {
      await sleep(20);
      await writer.write({ tick, note: inputData.note });
    }
    return { note: inputData.note };
  },
});

const ask = createStep({
  id: 'ask',
  inputSchema: note,
  outputSchema: note,
  resumeSchema: z.object({ answer: z.string() }),
  suspendSchema: z.object({ question: z.string() }),
  execute: async ({ inputData, resumeData, suspend }) => {
    if (!resumeData) return suspend({ question: inputData.note });
    paid.push(`${inputData.note} ${resumeData.answer}`);
    return { note: `${inputData.note} ${resumeData.answer}` };
  },
});

const pass = createStep({ id: 'pass', inputSchema: anything, outputSchema: anything, execute: async ({ inputData }) => inputData });

const workflowOf = (id, step, input) => createWorkflow({ id, inputSchema: input, outputSchema: note }).then(step).commit();

class MockVoice extends MastraVoice {
  constructor() {
    super({ name: 'mock-voice' });
  }
  async listen(audio) {
    const hash = createHash('sha256');
    for await (const chunk of audio) hash.update(chunk);
    return hash.digest('hex');
  }
}

// ---- one Mastra --------------------------------------------------------------

function auth(kind) {
  if (kind === 'none') return {};
  const mapUserToResourceId = user => user.sub;
  return { auth: new MastraJwtAuth({ secret: MASTRA_JWT_SECRET, ...(kind === 'mapped' && { mapUserToResourceId }) }) };
}

function stores(kind) {
  const url = `file:${join(folder, `${kind}.db`)}`;
  if (kind === 'none') return { storage: new InMemoryStore(), vector: new LibSQLVector({ id: 'vectors', url }) };
  const whole = { id: `${kind}-whole`, default: new LibSQLStore({ id: kind, url }), domains: { observability: new InMemoryStore().stores.observability } };
  // LibSQL's own has neither scores nor feedback.
  return { storage: new MastraCompositeStore(whole), vector: new LibSQLVector({ id: 'vectors', url: `${url}.vectors` }) };
}

const show = (path, what) =>
  registerApiRoute(path, { method: 'GET', requiresAuth: false, handler: c => c.json(what) });

// Everything that the store has of an owner, and a run that may be nobody's.
async function stateOf(storage, owner, runId) {
  const [memory, workflows, tasks, schedules, observability] = await Promise.all(
    ['memory', 'workflows', 'backgroundTasks', 'schedules', 'observability'].map(name => storage.getStore(name)),
  );
  const known = list => list.catch(problem => `not in this store: ${problem.id ?? problem.message}`);
  const [whose, perPage] = [{ filters: { resourceId: owner } }, { pagination: { page: 0, perPage: 100 } }];
  const { threads } = await memory.listThreads({ filter: { resourceId: owner }, perPage: false });
  return {
    threads,
    messages: await Promise.all(threads.map(({ id }) => memory.listMessages({ threadId: id, perPage: false }))),
    resource: await memory.getResourceById({ resourceId: owner }),
    runs: (await workflows.listWorkflowRuns({ resourceId: owner })).runs,
    run: runId ? await workflows.getWorkflowRunById({ runId }) : null,
    tasks: await tasks.listTasks({ resourceId: owner }),
    schedules: (await schedules.listSchedules()).filter(one => JSON.stringify(one).includes(JSON.stringify(owner))),
    traces: (await observability.listTraces({ ...whose, ...perPage })).spans,
    scores: (await known(observability.listScores({ ...whose, ...perPage }))).scores,
    feedback: (await known(observability.listFeedback({ ...whose, ...perPage }))).feedback,
  };
}

async function serve(kind, port) {
  const { storage, vector } = stores(kind);
  const tools = { 'get-weather': getWeather, pay, 'who-am-i': whoAmI, report, echo };
  const about = { model, instructions: 'You are a mock.', tools };
  const weatherAgent = new Agent({
    id: 'weatherAgent',
    name: 'Weather Agent',
    ...about,
    memory: new Memory({ options: { lastMessages: 20 } }),
    voice: new MockVoice(),
  });
  const plainAgent = new Agent({ id: 'plainAgent', name: 'Without memory', ...about });
  const recallAgent = new Agent({
    id: 'recallAgent',
    name: 'Recalls by meaning, and keeps notes about its user',
    ...about,
    memory: new Memory({
      vector,
      embedder,
      options: {
        lastMessages: 2,
        workingMemory: { enabled: true, scope: 'resource' },
        semanticRecall: { topK: 3, messageRange: 0, scope: 'resource' },
      },
    }),
  });
  const routingAgent = new Agent({
    id: 'routingAgent',
    name: 'Network',
    ...about,
    agents: { weatherAgent },
    memory: new Memory({ options: { lastMessages: 20 } }),
  });
  // Its memory is in a store of its own: what is asked about a thread has to be asked of that.
  const islandAgent = new Agent({
    id: 'islandAgent',
    name: 'With a store of its own',
    ...about,
    memory: new Memory({ storage: new InMemoryStore(), options: { lastMessages: 20 } }),
  });
  const controller = new AgentController({
    id: 'desk',
    agent: weatherAgent,
    modes: [{ id: 'chat', name: 'Chat', default: true, agent: weatherAgent }],
    storage,
    memory: new Memory({ storage, options: { lastMessages: 20 } }),
  });
  const mastra = new Mastra({
    agents: { weatherAgent, plainAgent, recallAgent, routingAgent, islandAgent },
    agentControllers: { desk: controller },
    workflows: {
      tickWorkflow: workflowOf('tickWorkflow', tick, z.object({ note: z.string(), ticks: z.number().optional() })),
      askWorkflow: workflowOf('askWorkflow', ask, note),
      echoWorkflow: createWorkflow({ id: 'echoWorkflow', inputSchema: anything, outputSchema: anything }).then(pass).commit(),
    },
    tools,
    mcpServers: { weather: new MCPServer({ id: 'weather', name: 'weather', version: '1.0.0', tools: { 'get-weather': getWeather, echo } }) },
    storage,
    vectors: { vectors: vector },
    backgroundTasks: { enabled: true },
    logger: false,
    observability: new Observability({
      configs: { default: { serviceName: 'rig', exporters: [new MastraStorageExporter({ strategy: 'realtime' })] } },
    }),
    server: {
      port,
      host: '127.0.0.1',
      build: { openAPIDocs: true },
      apiRoutes: [
        show('/rig/model-log', modelLog),
        show('/rig/paid', paid),
        registerApiRoute('/rig/state', {
          method: 'GET',
          requiresAuth: false,
          handler: async c => c.json(await stateOf(storage, c.req.query('owner'), c.req.query('run'))),
        }),
        chatRoute({ path: '/chat/:agentId' }),
        chatRoute({ path: '/chat', agent: 'weatherAgent' }),
        chatRoute({ path: '/my-chat', agent: 'weatherAgent' }),
      ],
      ...auth(kind),
    },
  });
  await createNodeServer(mastra, { tools: [], studio: false, isDev: false });
}

const ports = JSON.parse(PORTS);
for (const [kind, port] of Object.entries(ports)) await serve(kind, port);
console.log(JSON.stringify({ mastra: 'listening', ports }));
