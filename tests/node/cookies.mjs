// Reads `{name, lines: [...]}` from standard input; prints, for each Cookie line, what each parser takes the cookie of that
// name for (null: there is none). Lines are latin-1 text, as Node gives them to a server.
import { readFileSync } from 'node:fs';
import { parse as parse07 } from 'cookie-07';
import { parse as parse1 } from 'cookie-1';
import { parse as parseHono } from 'hono/utils/cookie';
import { parse as parseOlderHono } from 'hono-older/utils/cookie';

const { name, lines } = JSON.parse(readFileSync(0, 'utf8'));
const readings = lines.map(line => ({
  'cookie 0.7': parse07(line)[name] ?? null,
  'cookie 1': parse1(line)[name] ?? null,
  hono: parseHono(line)[name] ?? null,
  'hono by name': parseHono(line, name)[name] ?? null,
  'hono older': parseOlderHono(line)[name] ?? null,
  'hono older by name': parseOlderHono(line, name)[name] ?? null,
}));
console.log(JSON.stringify(readings));
