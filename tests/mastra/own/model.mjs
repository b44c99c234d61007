// A language model that needs no network (a LanguageModelV2 object of the AI SDK). The last message of the user says
// what it does:
//   anything                 3 words, 1 ms apart;  "n=5 ms=10" changes that
//   "call pay {...}"         calls the tool `pay` with this input, then answers in words
//   "tell all"               answers with everything that it was shown: what a caller can learn by a prompt
// `modelLog` has everything that each call was shown.
export const modelLog = [];

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };

function textOf(message) {
  if (typeof message?.content === 'string') return message.content;
  return (message?.content ?? []).map(part => part.text ?? '').join(' ');
}

function plan({ prompt, abortSignal }) {
  const text = textOf(prompt.findLast(message => message.role === 'user'));
  const shown = JSON.stringify(prompt);
  const record = { shown, end: null };
  modelLog.push(record);
  abortSignal?.addEventListener('abort', () => (record.end = 'aborted'), { once: true });
  const number = (name, otherwise) => Number(new RegExp(`\\b${name}=(\\d+)`).exec(text)?.[1] ?? otherwise);
  const call = prompt.at(-1).role === 'tool' ? null : /\bcall ([\w-]+) (\{.*?\})/.exec(text);
  const count = number('n', 3);
  const words = /\btell all\b/.test(text) ? [shown] : Array.from({ length: count }, (_, i) => `w${i} `);
  return { record, call, words, pauseMs: number('ms', 1) };
}

async function* parts({ record, call, words, pauseMs }) {
  yield { type: 'stream-start', warnings: [] };
  if (call) {
    const [, toolName, input] = call;
    yield { type: 'tool-call', toolCallId: `call-${modelLog.length}`, toolName, input };
  } else {
    yield { type: 'text-start', id: 't' };
    for (const delta of words) {
      await sleep(pauseMs);
      if (record.end) break;
      yield { type: 'text-delta', id: 't', delta };
    }
    yield { type: 'text-end', id: 't' };
  }
  record.end ??= 'stop';
  yield { type: 'finish', finishReason: call ? 'tool-calls' : 'stop', usage };
}

export const model = {
  specificationVersion: 'v2',
  provider: 'mock',
  modelId: 'mock',
  supportedUrls: {},

  async doGenerate(options) {
    const content = [];
    let text = '';
    let finishReason = 'stop';
    for await (const part of parts(plan(options))) {
      if (part.type === 'tool-call') content.push(part);
      if (part.type === 'text-delta') text += part.delta;
      if (part.type === 'finish') ({ finishReason } = part);
    }
    if (text) content.push({ type: 'text', text });
    return { content, finishReason, usage, warnings: [] };
  },

  async doStream(options) {
    const source = parts(plan(options));
    const stream = new ReadableStream({
      async pull(controller) {
        const { value, done } = await source.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    return { stream };
  },
};

// For agents that recall by meaning: texts are near when they share words.
export const embedder = {
  specificationVersion: 'v2',
  provider: 'mock',
  modelId: 'mock-embedder',
  maxEmbeddingsPerCall: 100,
  supportsParallelCalls: true,
  async doEmbed({ values }) {
    const embeddings = values.map(value => {
      const vector = new Array(64).fill(0.01);
      for (const word of value.toLowerCase().split(/\W+/)) {
        let hash = 7;
        for (const letter of word) hash = (hash * 31 + letter.charCodeAt(0)) % 64;
        vector[hash] += 1;
      }
      return vector;
    });
    return { embeddings, usage: { tokens: 1 } };
  },
};
