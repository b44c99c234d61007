// A real Mastra server: the same createNodeServer() that the output of `mastra build` calls, around one agent with an
// offline model. Prints one JSON line when it listens.
//
//   PORT=4111                     on 127.0.0.1
//   AUTH=none|jwt                 Mastra's own auth (default none); jwt: MastraJwtAuth with MASTRA_JWT_SECRET
//   MAP_RESOURCE=1                mapUserToResourceId: user => user.sub
//   STUDIO=1                      with its Studio, that of the package `mastra`
//
// GET /rig/model-log and GET /rig/arrivals tell a test what the model did and which requests reached this server.
process.env.MASTRA_TELEMETRY_DISABLED ??= '1';
process.env.DO_NOT_TRACK ??= '1';

import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { MastraJwtAuth } from '@mastra/auth';
import { Agent } from '@mastra/core/agent';
import { Mastra } from '@mastra/core/mastra';
import { registerApiRoute } from '@mastra/core/server';
import { InMemoryStore } from '@mastra/core/storage';
import { createTool } from '@mastra/core/tools';
import { MastraVoice } from '@mastra/core/voice';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import { createNodeServer } from '@mastra/deployer/server';
import { MCPServer } from '@mastra/mcp';
import { Memory } from '@mastra/memory';
import { z } from 'zod';
import { mockModel, modelLog } from './model.mjs';

const { PORT = '4111', AUTH = 'none', MAP_RESOURCE, STUDIO, MASTRA_JWT_SECRET } = process.env;
process.env.MASTRA_STUDIO_PATH = fileURLToPath(new URL('node_modules/mastra/dist/studio', import.meta.url));
const port = Number(PORT);

// ---- the agent, with everything a client can ask of one -----------------------

const getWeather = createTool({
  id: 'get-weather',
  description: 'The weather of a city (made up)',
  inputSchema: z.object({ city: z.string() }),
  outputSchema: z.object({ city: z.string(), tempC: z.number() }),
  execute: async ({ city }) => ({ city, tempC: 21 }),
});

const upperCase = createStep({
  id: 'upper-case',
  inputSchema: z.object({ city: z.string() }),
  outputSchema: z.object({ city: z.string() }),
  execute: async ({ inputData, writer }) => {
    for (let tick = 0; tick < 5; tick++) {
      await new Promise(resolve => setTimeout(resolve, 50));
      await writer.write({ tick });
    }
    return { city: inputData.city.toUpperCase() };
  },
});

const weatherWorkflow = createWorkflow({
  id: 'weatherWorkflow',
  inputSchema: z.object({ city: z.string() }),
  outputSchema: z.object({ city: z.string() }),
})
  .then(upperCase)
  .commit();

class MockVoice extends MastraVoice {
  constructor() {
    super({ name: 'mock-voice' });
  }
  // Proves that an upload came through whole.
  async listen(audio) {
    const hash = createHash('sha256');
    for await (const chunk of audio) hash.update(chunk);
    return hash.digest('hex');
  }
}

const tools = { 'get-weather': getWeather };
const weatherAgent = new Agent({
  id: 'weatherAgent',
  name: 'Weather Agent',
  instructions: 'You are a mock.',
  model: mockModel,
  tools,
  memory: new Memory({ options: { lastMessages: 10 } }),
  voice: new MockVoice(),
});

// ---- what a test can look at --------------------------------------------------

const arrivals = [];

// Runs before Mastra's own auth: it sees what Mastra refuses, too.
async function recordArrival(c, next) {
  const { method, headers } = c.req.raw;
  if (!c.req.path.startsWith('/rig/')) {
    arrivals.push({ method, path: c.req.path, headers: Object.fromEntries(headers.entries()) });
  }
  await next();
}

const show = (path, what) =>
  registerApiRoute(path, { method: 'GET', requiresAuth: false, handler: c => c.json(what) });

// ---- Mastra --------------------------------------------------------------------

function auth() {
  if (AUTH === 'none') return {};
  if (AUTH !== 'jwt') throw new Error(`AUTH=${AUTH}: expected none or jwt`);
  const mapUserToResourceId = user => user.sub;
  return { auth: new MastraJwtAuth({ secret: MASTRA_JWT_SECRET, ...(MAP_RESOURCE && { mapUserToResourceId }) }) };
}

const mastra = new Mastra({
  agents: { weatherAgent },
  workflows: { weatherWorkflow },
  tools,
  mcpServers: { weather: new MCPServer({ id: 'weather', name: 'weather', version: '1.0.0', tools }) },
  storage: new InMemoryStore(),
  server: {
    port,
    host: '127.0.0.1',
    build: { openAPIDocs: true },
    middleware: [recordArrival],
    apiRoutes: [show('/rig/model-log', modelLog), show('/rig/arrivals', arrivals)],
    ...auth(),
  },
});

await createNodeServer(mastra, { tools: [], studio: STUDIO === '1', isDev: false });
console.log(JSON.stringify({ mastra: 'listening', port, auth: AUTH }));
