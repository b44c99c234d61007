// What @clerk/backend makes of tokens with the key of an instance: reads a question from stdin, prints verdicts by name.
import { createClerkClient } from "@clerk/backend";

let text = "";
for await (const piece of process.stdin) text += piece;
const { jwtKey, publishableKey, authorizedParties, tokens } = JSON.parse(text);
const clerk = createClerkClient({ secretKey: "sk_test_none", publishableKey, jwtKey, telemetry: { disabled: true } });

async function verdict({ token, accepts }) {
  const request = new Request("http://localhost/api/x", { headers: { authorization: `Bearer ${token}` } });
  const state = await clerk.authenticateRequest(request, { jwtKey, authorizedParties, acceptsToken: accepts });
  const auth = state.isAuthenticated ? state.toAuth() : null; // which is of nobody while a session is pending
  const subject = auth && (auth.userId ?? auth.machineId ?? auth.subject ?? null);
  return { passes: subject !== null, subject, why: state.reason ?? null };
}

const verdicts = {};
for (const [name, asked] of Object.entries(tokens)) verdicts[name] = await verdict(asked).catch((error) => ({ passes: false, subject: null, why: String(error) }));
console.log(JSON.stringify(verdicts));
