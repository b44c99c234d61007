// What a page shows of a Mastra behind the gateway: the names of its agents, or why it may not see them.
import { useEffect, useState } from 'react';
import { useMastraClient } from '@mastra/react';

export function Agents() {
  const client = useMastraClient();
  const [said, say] = useState('');
  useEffect(() => {
    client.listAgents().then(
      agents => say(Object.values(agents).map(agent => agent.name).join(', ')),
      problem => say(`refused: ${problem.message}`),
    );
  }, [client]);
  return <p id="agents">{said}</p>;
}
