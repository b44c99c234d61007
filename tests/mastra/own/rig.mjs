// What the probes and the own calls share: who calls, how, and what Mastra has of somebody.
//
//   BASE_URL   where callers go: the gateway, or Mastra itself
//   UPSTREAM   Mastra's own address, where a probe looks what became of its victim's things
//   AUTH       none, jwt, mapped: see server.mjs
//   SECRET     of the callers' tokens;  MASTRA_SECRET: of those that Mastra takes
import { createHmac, randomUUID } from 'node:crypto';
import http from 'node:http';

const { BASE_URL, UPSTREAM = BASE_URL, AUTH = 'none', SECRET = 'callers', MASTRA_SECRET = SECRET } = process.env;
export const auth = AUTH;
export const isDirect = BASE_URL === UPSTREAM;
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

// ---- tokens --------------------------------------------------------------------

const b64 = value => Buffer.from(value).toString('base64url');

export function mint(claims, secret = SECRET) {
  const now = Math.floor(Date.now() / 1000);
  const signed = `${b64('{"alg":"HS256","typ":"JWT"}')}.${b64(JSON.stringify({ iat: now, exp: now + 600, ...claims }))}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

// ---- requests ------------------------------------------------------------------

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

/**
 * Send one request exactly as written. `json` is a body to be written as JSON, `body` one that is written already.
 * Reads for `ms` at most; a stream that goes on longer is left. `began` is told the first bytes of the answer.
 * Gives {status, text, json, headers, sent}.
 */
export function request(base, method, path, { json, body, headers = {}, ms = 25_000, token, began } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  const { hostname, port } = new URL(base);
  const all = {
    ...(token && { authorization: `Bearer ${token}` }),
    ...(json !== undefined && { 'content-type': 'application/json' }),
    ...headers,
  };
  const sent = `${path} ${payload ?? ''}`;
  return new Promise(resolve => {
    const chunks = [];
    let answer = null;
    const startedAt = Date.now();
    const done = problem => {
      clearTimeout(timer);
      const text = Buffer.concat(chunks).toString();
      let parsed = null;
      try {
        parsed = JSON.parse(text);
      } catch {
        // not JSON
      }
      resolve({ status: answer?.statusCode ?? 0, text, json: parsed, headers: answer?.headers ?? {}, sent, problem: problem?.code, took: Date.now() - startedAt });
    };
    const call = http.request({ agent, hostname, port, method, path, headers: all }, incoming => {
      answer = incoming;
      incoming.on('data', chunk => {
        if (chunks.push(chunk) === 1) began?.(chunk.toString());
      });
      incoming.on('close', done);
      incoming.on('error', done);
    });
    let [timedOut, again] = [false, false];
    const timer = setTimeout(() => {
      timedOut = true;
      call.destroy();
    }, ms);
    call.on('close', () => again || done());
    call.on('error', problem => {
      // A server closes a connection that was idle just as it is used again: the request never reached anybody.
      if (call.reusedSocket && problem.code === 'ECONNRESET' && !answer && !timedOut) {
        again = true;
        clearTimeout(timer);
        resolve(request(base, method, path, { json, body, headers, ms, token, began }));
      } else done(problem);
    });
    if (payload !== undefined && !('content-length' in all) && !('transfer-encoding' in all)) {
      call.setHeader('content-length', Buffer.byteLength(payload));
    }
    call.end(payload);
  });
}

// ---- somebody --------------------------------------------------------------------

/** A caller at BASE_URL; remembers every answer. */
export class Caller {
  constructor(subject, claims = {}) {
    this.subject = subject;
    this.token = mint({ sub: subject, ...claims });
    this.answers = [];
  }

  async send(method, path, options = {}) {
    const answer = await request(BASE_URL, method, path, { token: this.token, ...options });
    this.answers.push({ method, ...answer });
    return answer;
  }

  get = (path, options) => this.send('GET', path, options);
  del = (path, options) => this.send('DELETE', path, options);
  post = (path, json, options) => this.send('POST', path, { json, ...options });
  patch = (path, json, options) => this.send('PATCH', path, { json, ...options });
  put = (path, json, options) => this.send('PUT', path, { json, ...options });

  /** The same, and the answer must be 200: what a caller does with their own things. */
  must = (method, path, json) => this.#must(BASE_URL, this.token, method, path, json);

  /** The same beside the gateway, for what it leaves to operators. */
  beside = (method, path, json) => this.#must(UPSTREAM, mint({ sub: this.subject }, MASTRA_SECRET), method, path, json);

  async #must(base, token, method, path, json) {
    const answer = await request(base, method, path, { token, json });
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.problem} ${answer.took} ms ${answer.text.slice(0, 300)}`);
    return answer;
  }
}

/** Everything that Mastra's store has of this owner, and of a run, as one text. */
export async function dump(subject, runId = '') {
  const query = `owner=${encodeURIComponent(subject)}&run=${encodeURIComponent(runId)}`;
  const { status, text } = await request(UPSTREAM, 'GET', `/rig/state?${query}`, { ms: 20_000 });
  if (status !== 200) throw new Error(`the store: ${status} ${text.slice(0, 300)}`);
  return text;
}

/** The same, once nothing moves any more. */
export async function settled(look) {
  for (let before = await look(), end = Date.now() + 30_000; Date.now() < end; ) {
    await sleep(60);
    const after = await look();
    if (after === before) return after;
    before = after;
  }
  throw new Error('it never came to rest');
}

/** What the model was shown, and what was paid. */
export const modelLog = async () => (await request(UPSTREAM, 'GET', '/rig/model-log')).json;
export const paid = async () => (await request(UPSTREAM, 'GET', '/rig/paid')).json;
export const newId = name => `${name}-${randomUUID()}`;
