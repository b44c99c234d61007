// better-auth on loopback, its records in memory. GET /rig/verify?email=... does what a click in a mail does.
import { createServer } from 'node:http';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';

const port = Number(process.env.PORT);
const records = { user: [], session: [], account: [], verification: [], jwks: [] };
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}${process.env.BASE ?? ''}`,
  secret: process.env.BETTER_AUTH_SECRET,
  database: memoryAdapter(records),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [jwt(process.env.ALGORITHM ? { jwks: { keyPairConfig: { alg: process.env.ALGORITHM } } } : {})],
});
const answer = toNodeHandler(auth);
const server = createServer((request, response) => {
  const url = new URL(request.url, auth.options.baseURL);
  if (url.pathname === '/rig/verify') {
    const user = records.user.find((one) => one.email === url.searchParams.get('email'));
    user.emailVerified = true;
    response.end(JSON.stringify(user));
    return;
  }
  answer(request, response);
});
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ port })));
