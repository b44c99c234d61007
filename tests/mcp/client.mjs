// Reads {"servers": {name: address}, "swap": [from, to]?} from standard input; walks from nothing to tools/list and a
// call at each server, logging in as the challenges say, and prints what came of it.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const REDIRECT = "http://127.0.0.1:9/callback";

// Keeps what the SDK gives it, and "opens a browser" by following the redirect itself.
class Login {
  constructor() {
    this.asked = [];
  }
  get redirectUrl() {
    return REDIRECT;
  }
  get clientMetadata() {
    return { client_name: "test", redirect_uris: [REDIRECT], token_endpoint_auth_method: "none" };
  }
  clientInformation() {
    return this.client;
  }
  saveClientInformation(client) {
    this.client = client;
  }
  tokens() {
    return this.kept;
  }
  saveTokens(tokens) {
    this.kept = tokens;
  }
  codeVerifier() {
    return this.verifier;
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  async redirectToAuthorization(url) {
    this.asked.push(Object.fromEntries(["scope", "resource"].map((name) => [name, url.searchParams.get(name)])));
    const answer = await fetch(url, { redirect: "manual" });
    this.code = new URL(answer.headers.get("location")).searchParams.get("code");
  }
}

async function withLogin(login, transport, work) {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (problem) {
      if (!(problem instanceof UnauthorizedError) || tries > 2) throw problem;
      await transport().finishAuth(login.code);
    }
  }
}

async function walk(address, login) {
  let transport;
  const client = new Client({ name: "test", version: "1.0.0" });
  await withLogin(login, () => transport, async () => {
    transport = new StreamableHTTPClientTransport(new URL(address), { authProvider: login });
    await client.connect(transport);
  });
  const { tools } = await withLogin(login, () => transport, () => client.listTools());
  const called = await client.callTool({ name: tools[0].name });
  await client.close();
  return { tools: tools.map((tool) => tool.name), told: called.content[0].text, asked: login.asked };
}

let text = "";
for await (const piece of process.stdin) text += piece;
const { servers } = JSON.parse(text);
const result = {};
const logins = {};
for (const [name, address] of Object.entries(servers)) {
  logins[name] = new Login();
  result[name] = await walk(address, logins[name]);
}
// A token of one server, sent to another.
const [first, second] = Object.keys(servers);
const swapped = await fetch(servers[second], {
  method: "POST",
  headers: { authorization: `Bearer ${logins[first].kept.access_token}`, "content-type": "application/json" },
  body: "{}",
});
result.swapped = { status: swapped.status, code: (await swapped.json()).code };
console.log(JSON.stringify(result));
