// A page of another origin, as a team writes one with @mastra/react. `window.gateway` and `window.token` are the test's.
import { createRoot } from 'react-dom/client';
import { MastraReactProvider, useChat } from '@mastra/react';
import { Agents } from './agents.jsx';

function Chat() {
  const { messages, sendMessage } = useChat({ agentId: 'weatherAgent', resourceId: 'ann', threadId: 'react-page' });
  const texts = messages.flatMap(message => message.content?.parts ?? message.parts ?? []).map(part => part.text ?? '');
  return (
    <>
      <button onClick={() => sendMessage({ message: 'n=5 ms=10', mode: 'stream', threadId: 'react-page' })}>Ask</button>
      <p id="chat">{texts.join(' ')}</p>
    </>
  );
}

// As docs/how-to/browser-app.md says: a token that is good at this moment, with each call.
const withToken = async (url, init) => {
  const headers = new Headers(init?.headers);
  headers.set('Authorization', `Bearer ${await Promise.resolve(window.token)}`);
  return fetch(url, { ...init, headers });
};
createRoot(document.getElementById('root')).render(
  <MastraReactProvider baseUrl={window.gateway} customFetch={withToken}>
    <Agents />
    <Chat />
  </MastraReactProvider>,
);
