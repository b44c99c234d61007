// The quick way in Node: jsonwebtoken, then http-proxy over connections that are kept.
const fs = require('fs'), http = require('http'), { createPublicKey } = require('crypto');
const jwt = require('jsonwebtoken'), { createProxyServer } = require('http-proxy');
const key = createPublicKey(fs.readFileSync('$folder/public.pem'));
const options = { algorithms: ['RS256'], issuer: '$issuer', audience: '$audience' };
const agent = new http.Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 1024 });
const proxy = createProxyServer({ target: { host: '127.0.0.1', port: $upstream_port }, agent });
proxy.on('error', (problem, request, response) => { response.writeHead(502); response.end(); });

function refuse(response, status) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end('{"error":"denied"}');
}

http.createServer({ keepAliveTimeout: 600000 }, (request, response) => {
  if (request.url.startsWith('/api')) {
    let claims;
    try {
      claims = jwt.verify((request.headers.authorization || '').replace(/^Bearer /, ''), key, options);
    } catch (problem) {
      return refuse(response, 401);
    }
    if (!String(claims.email).endsWith('@example.com')) return refuse(response, 403);
  }
  proxy.web(request, response);
}).listen($port, '127.0.0.1', 4096);
