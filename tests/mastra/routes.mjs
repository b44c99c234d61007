// The routes of Mastra's server as it registers them: method, path, permission, and the names of all fields of its own
// schemas of query and body (a dot below an object, [] for the members of a list).
import { SERVER_ROUTES, getEffectivePermission } from '@mastra/server/server-adapter';

const inner = schema => {
  const def = schema?._zod?.def ?? schema?.def ?? schema?._def ?? {};
  return [def.innerType, def.in, def.out, def.schema, ...(def.options ?? []), def.left, def.right].filter(Boolean);
};

function fields(schema, at = '', found = new Set(), depth = 0) {
  if (!schema || depth > 14) return found;
  const def = schema._zod?.def ?? schema.def ?? schema._def ?? {};
  const shape = typeof def.shape === 'function' ? def.shape() : def.shape;
  if (shape) {
    for (const [name, value] of Object.entries(shape)) {
      found.add(`${at}${name}`);
      fields(value, `${at}${name}.`, found, depth + 1);
    }
  }
  if (def.element) fields(def.element, `${at}[].`, found, depth + 1);
  for (const one of inner(schema)) fields(one, at, found, depth + 1);
  return found;
}

const routes = SERVER_ROUTES.map(route => ({
  method: route.method,
  path: route.path,
  permission: [getEffectivePermission(route) ?? []].flat(),
  query: [...fields(route.queryParamSchema)],
  body: [...fields(route.bodySchema)],
}));
console.log(JSON.stringify({ routes }));
