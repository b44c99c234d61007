// A language model that needs no network (a LanguageModelV2 object of the AI SDK). The last message of the user
// says what it does:
//   anything        20 words "w0 w1 ...", 50 ms apart;  "n=5 ms=10" changes that
//   "tool: Paris"   calls the tool `get-weather` for Paris, then answers in words
//   "boom"          fails before the first word
//   "midboom"       fails after the third
// `modelLog` has a record of every call. `abortedAt` (Unix milliseconds) says when the model heard that its caller left.
const WORDS = 20;
const WORD_MS = 50;

export const modelLog = [];

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const usage = words => ({ inputTokens: 7, outputTokens: words, totalTokens: 7 + words });

function textOf(message) {
  if (typeof message?.content === 'string') return message.content;
  return (message?.content ?? []).map(part => part.text ?? '').join(' ');
}

function start({ prompt, abortSignal }) {
  const text = textOf(prompt.findLast(message => message.role === 'user'));
  const number = (name, otherwise) => Number(new RegExp(`\\b${name}=(\\d+)`).exec(text)?.[1] ?? otherwise);
  const record = { text, words: 0, end: null, abortedAt: null };
  modelLog.push(record);
  const leave = () => (record.abortedAt ??= Date.now());
  if (abortSignal?.aborted) leave();
  abortSignal?.addEventListener('abort', leave, { once: true });
  const answersTool = prompt.at(-1).role === 'tool';
  return {
    record,
    leave,
    count: number('n', WORDS),
    pauseMs: number('ms', WORD_MS),
    city: answersTool ? null : /\btool: (\w+)/.exec(text)?.[1],
    failsAt: /\bboom\b/.test(text) ? 0 : /\bmidboom\b/.test(text) ? 3 : Infinity,
  };
}

function fail(record) {
  record.end = 'error';
  throw new Error('the model failed');
}

async function* words(call) {
  const { record, count, pauseMs, failsAt } = call;
  if (failsAt === 0) fail(record);
  while (record.words < count) {
    await sleep(pauseMs);
    if (record.abortedAt) break;
    yield `w${record.words++} `;
    if (record.words === failsAt) fail(record);
  }
  record.end = record.abortedAt ? 'aborted' : 'stop';
}

const toolCall = city => ({
  type: 'tool-call',
  toolCallId: `call-${modelLog.length}`,
  toolName: 'get-weather',
  input: JSON.stringify({ city }),
});

async function* parts(call) {
  yield { type: 'stream-start', warnings: [] };
  if (call.city) {
    yield toolCall(call.city);
    call.record.end = 'tool-calls';
  } else {
    yield { type: 'text-start', id: 't' };
    for await (const delta of words(call)) yield { type: 'text-delta', id: 't', delta };
    yield { type: 'text-end', id: 't' };
  }
  yield { type: 'finish', finishReason: call.city ? 'tool-calls' : 'stop', usage: usage(call.record.words) };
}

export const mockModel = {
  specificationVersion: 'v2',
  provider: 'mock',
  modelId: 'mock-weather',
  supportedUrls: {},

  async doGenerate(options) {
    const call = start(options);
    const content = [];
    if (call.city) {
      content.push(toolCall(call.city));
      call.record.end = 'tool-calls';
    } else {
      let text = '';
      for await (const word of words(call)) text += word;
      content.push({ type: 'text', text });
    }
    const finishReason = call.city ? 'tool-calls' : 'stop';
    return { content, finishReason, usage: usage(call.record.words), warnings: [] };
  },

  async doStream(options) {
    const call = start(options);
    if (call.failsAt === 0) fail(call.record); // as a provider that refuses, before there is a stream
    const source = parts(call);
    const stream = new ReadableStream({
      async pull(controller) {
        const { value, done } = await source.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: call.leave,
    });
    return { stream };
  },
};
