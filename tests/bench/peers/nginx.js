// nginx has no JWT of its own but in its commercial edition: njs with WebCrypto, as its documentation shows.
const KEY = Buffer.from('$spki', 'base64');
const HOW = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

function read(part) {
  return JSON.parse(Buffer.from(part, 'base64url').toString());
}

async function check(request) {
  try {
    const parts = (request.headersIn.Authorization || '').replace(/^Bearer /, '').split('.');
    if (parts.length !== 3 || read(parts[0]).alg !== 'RS256') { request.return(401); return; }
    const key = await crypto.subtle.importKey('spki', KEY, HOW, false, ['verify']);
    const signed = Buffer.from(parts[0] + '.' + parts[1]);
    if (!await crypto.subtle.verify(HOW, key, Buffer.from(parts[2], 'base64url'), signed)) { request.return(401); return; }
    const claims = read(parts[1]);
    const counts = claims.iss === '$issuer' && claims.aud === '$audience' && claims.exp > Date.now() / 1000;
    if (!counts) { request.return(401); return; }
    request.return(typeof claims.email === 'string' && claims.email.endsWith('@example.com') ? 200 : 403);
  } catch (problem) {
    request.return(401);
  }
}

export default { check };
