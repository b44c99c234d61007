// Hono and Express as people run them, on loopback. They answer with what they read: the handler that ran, method, target,
// params, query, cookies, Authorization, headers. Prints one JSON line, {name: port}, when all of them listen.
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { getCookie } from 'hono/cookie';
import { Hono as OlderHono } from 'hono-older';
import { getCookie as getOlderCookie } from 'hono-older/cookie';
import express from 'express';
import express4 from 'express-4';
import cookieParser from 'cookie-parser';

const NAMED = ['__session', 'session', 'mastra-token'];

function honoApp(Framework, readCookie) {
  const app = new Framework({ strict: false });
  const tell = handler => c =>
    c.json({
      handler,
      method: c.req.method,
      path: new URL(c.req.url).pathname,
      params: c.req.param(),
      apiKey: c.req.queries('apiKey') ?? null,
      cookies: readCookie(c),
      named: Object.fromEntries(NAMED.map(name => [name, readCookie(c, name)])),
      authorization: c.req.header('authorization') ?? null,
      headers: c.req.header(),
    });
  app.all('/admin', tell('admin'));
  app.all('/area/admin/*', tell('area-admin'));
  app.all('/area/*', tell('area'));
  app.all('/items/:id', tell('item'));
  app.all('/named/:id', tell('named'));
  app.all('*', tell('any'));
  return app;
}

function expressApp(framework) {
  const app = framework();
  app.set('trust proxy', true); // the first of X-Forwarded-For is the client
  app.use(cookieParser());
  const tell = handler => (request, response) =>
    response.json({
      handler,
      method: request.method,
      path: request.originalUrl.split('?')[0],
      params: request.params,
      apiKey: request.query.apiKey ?? null,
      cookies: request.cookies,
      named: request.cookies,
      authorization: request.get('authorization') ?? null,
      headers: request.headers,
      ip: request.ip,
    });
  app.all('/admin', tell('admin'));
  app.use('/area/admin', tell('area-admin'));
  app.use('/area', tell('area'));
  app.all('/items/:id', tell('item'));
  app.all('/named/:id', tell('named'));
  app.use(tell('any'));
  return app;
}

const ports = {};
const listening = [];
for (const [name, app] of Object.entries({ hono: honoApp(Hono, getCookie), honoOlder: honoApp(OlderHono, getOlderCookie) }))
  listening.push(
    new Promise(done => serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, at => done((ports[name] = at.port)))),
  );
for (const [name, framework] of Object.entries({ express, express4 })) {
  listening.push(
    new Promise(done => {
      const server = expressApp(framework).listen(0, '127.0.0.1', () => done((ports[name] = server.address().port)));
    }),
  );
}
await Promise.all(listening);
console.log(JSON.stringify(ports));
