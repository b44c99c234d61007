// Reads bodies as Hono does (`text()` of the request, then JSON.parse), from a JSON list of base64 texts on stdin.
// Prints for each what was read: numbers as the bits of the double, texts as UTF-16 units; null where nothing was.
import { readFileSync } from 'node:fs';

const bits = new DataView(new ArrayBuffer(8));

function told(value) {
  if (typeof value === 'number') {
    bits.setFloat64(0, value);
    return { number: bits.getBigUint64(0).toString(16).padStart(16, '0') };
  }
  if (typeof value === 'string') return { text: units(value) };
  if (Array.isArray(value)) return value.map(told);
  if (value === null || typeof value !== 'object') return value;
  return { members: Object.entries(value).map(([name, inner]) => [units(name), told(inner)]) };
}

const units = text => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at).toString(16)).join(' ');

async function read(base64) {
  const request = new Request('http://x/', { method: 'POST', body: Buffer.from(base64, 'base64') });
  try {
    return { read: told(JSON.parse(await request.text())) };
  } catch {
    return null;
  }
}

console.log(JSON.stringify(await Promise.all(JSON.parse(readFileSync(0, 'utf8')).map(read))));
