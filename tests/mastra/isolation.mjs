// Two callers, each with a thread: what does one get to see of the other's? Prints one JSON object.
//
//   BASE_URL=http://127.0.0.1:8080 TOKEN_A=... TOKEN_B=... node isolation.mjs
import { MastraClient } from '@mastra/client-js';

const { BASE_URL: baseUrl, TOKEN_A, TOKEN_B } = process.env;
const agentId = 'weatherAgent';
const connect = token => new MastraClient({ baseUrl, retries: 0, headers: { Authorization: `Bearer ${token}` } });
const [a, b] = [connect(TOKEN_A), connect(TOKEN_B)];

// Both claim to be somebody else.
const open = (client, threadId) => client.createMemoryThread({ resourceId: 'forged', threadId, title: 'a thread', agentId });
const list = async (client, resourceId) =>
  (await client.listMemoryThreads({ resourceId, agentId })).threads.map(thread => thread.id);
const statusOf = call => call.then(() => 200, e => e.status ?? String(e));

const owners = [(await open(a, 'thread-a')).resourceId, (await open(b, 'thread-b')).resourceId];
const foreign = b.getMemoryThread({ threadId: 'thread-a', agentId });
const result = {
  owners,
  aLists: await list(a, 'forged'),
  bLists: await list(b, 'forged'),
  bListsAs: await list(b, owners[0]),
  bReads: await statusOf(b.listThreadMessages('thread-a', { agentId })),
  bDeletes: await statusOf(foreign.delete()),
  bTakesOver: await statusOf(open(b, 'thread-a')),
  aReads: await statusOf(a.listThreadMessages('thread-a', { agentId })),
  aAsksWithoutThread: await statusOf(a.getAgent(agentId).generate('n=1 ms=1')),
};
console.log(JSON.stringify(result));
