// Reads three streams of events as people do: an agent's and A2A's by the real @mastra/client-js, a plain one by EventSource.
//
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... node heartbeats.mjs
//
// Prints {results: {agent: [TYPE ...], a2a: [TEXT ...], events: [DATA ...], errors: COUNT}, failed: []}.
import { MastraClient } from '@mastra/client-js';
import { EventSource } from 'eventsource';

const { BASE_URL: baseUrl, TOKEN: token } = process.env;
const headers = { Authorization: `Bearer ${token}` };
const client = new MastraClient({ baseUrl, headers, retries: 0 });

async function agent() {
  const types = [];
  const answer = await client.getAgent('slow').stream('hello');
  await answer.processDataStream({ onChunk: async chunk => void types.push(chunk.payload?.text ?? chunk.type) });
  return types;
}

async function a2a() {
  const said = [];
  const message = { kind: 'message', messageId: 'm1', role: 'user', parts: [{ kind: 'text', text: 'hello' }] };
  for await (const event of client.getA2A('slow').sendMessageStream({ message })) said.push(event.text);
  return said;
}

let errors = 0;

async function events() {
  const source = new EventSource(`${baseUrl}/events`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }),
  });
  const said = [];
  return new Promise(resolve => {
    source.addEventListener('named', event => said.push(event.data));
    source.addEventListener('message', event => said.push(event.data));
    source.addEventListener('gateway', event => {
      said.push(JSON.parse(event.data).code);
      source.close();
      resolve(said);
    });
    source.addEventListener('error', () => errors++);
  });
}

const [ofAgent, ofA2A, ofEvents] = await Promise.all([agent(), a2a(), events()]);
console.log(JSON.stringify({ results: { agent: ofAgent, a2a: ofA2A, events: ofEvents, errors }, failed: [] }));
