// A stand-in authorization server: discovery, registration, the code flow with PKCE, and the key set. Prints its port.
// Whoever asks for `admin` gets it only at the second try: what is given is not always what was asked for.
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const codes = new Map();
const asked = new Set();
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(issuer, code) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, sub: "ann", aud: code.resource, client_id: code.client, scope: code.scope, iat: now, exp: now + 600 };
  const input = `${b64({ alg: "RS256", typ: "at+jwt", kid: "one" })}.${b64(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), privateKey).toString("base64url")}`;
}

async function form(request) {
  let text = "";
  for await (const piece of request) text += piece;
  return text;
}

const server = createServer(async (request, response) => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const url = new URL(request.url, issuer);
  const json = (value, status = 200) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  switch (url.pathname) {
    case "/.well-known/oauth-authorization-server":
    case "/.well-known/openid-configuration":
      return json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        registration_endpoint: `${issuer}/register`,
        jwks_uri: `${issuer}/jwks`,
        response_types_supported: ["code"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["RS256"],
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: ["none"],
      });
    case "/jwks":
      return json({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" }] });
    case "/register":
      return json({ ...JSON.parse(await form(request)), client_id: randomUUID(), token_endpoint_auth_method: "none" }, 201);
    case "/authorize": {
      const given = Object.fromEntries(url.searchParams);
      const scopes = (given.scope ?? "").split(" ").filter((scope) => scope !== "admin" || asked.has(given.client_id));
      asked.add(given.client_id);
      const code = randomUUID();
      codes.set(code, { resource: given.resource, client: given.client_id, scope: scopes.join(" "), challenge: given.code_challenge });
      return response.writeHead(302, { location: `${given.redirect_uri}?code=${code}&state=${given.state ?? ""}` }).end();
    }
    case "/token": {
      const given = Object.fromEntries(new URLSearchParams(await form(request)));
      const code = codes.get(given.code);
      codes.delete(given.code);
      const challenge = createHash("sha256").update(given.code_verifier ?? "").digest("base64url");
      if (code === undefined || challenge !== code.challenge) return json({ error: "invalid_grant" }, 400);
      return json({ access_token: token(issuer, code), token_type: "Bearer", expires_in: 600, scope: code.scope });
    }
    default:
      return response.writeHead(404).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
