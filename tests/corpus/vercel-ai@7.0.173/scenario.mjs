// Vercel AI SDK 7: spans come from the integration of @ai-sdk/otel; content is captured unless recordInputs or
// recordOutputs is false. Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318).
import { NodeSDK } from '@opentelemetry/sdk-node';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { OpenTelemetry } from '@ai-sdk/otel';
import { registerTelemetry } from 'ai';

const sdk = new NodeSDK({
  resource: resourceFromAttributes({ 'service.version': '1.4.0', 'deployment.environment.name': 'staging' }),
});
sdk.start();

// The five flags add what the GenAI conventions have no attribute for; they are off by default.
registerTelemetry(
  new OpenTelemetry({ runtimeContext: true, usage: true, embedding: true, reranking: true, toolChoice: true }),
);

// Goes with each call. Keys of the runtime context are free, and only those named in includeRuntimeContext are sent;
// these four become session, user, tenant and tags in retraind.
const context = {
  runtimeContext: { sessionId: 'session-1', userId: 'user-1', tenantId: 'acme', tags: ['geography', 'beta'], plan: 'pro' },
  telemetry: {
    functionId: 'geography-teacher',
    includeRuntimeContext: { sessionId: true, userId: true, tenantId: true, tags: true, plan: true },
  },
};

// --- snippet ends here ---
// scenarios: chat stream tool responses object embeddings rerank error legacy
import { embed, embedMany, generateObject, generateText, rerank, stepCountIs, streamText, tool } from 'ai';
import { createCohere } from '@ai-sdk/cohere';
import { createOpenAI } from '@ai-sdk/openai';
import { LegacyOpenTelemetry } from '@ai-sdk/otel';
import { z } from 'zod';

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const cohere = createCohere({ baseURL: `${process.env.COHERE_BASE_URL}/v2` });
const question = {
  instructions: 'You are a geography teacher.',
  prompt: 'What is the capital of France?',
  temperature: 0.2,
  topP: 0.9,
  maxOutputTokens: 64,
};
const getWeather = tool({
  description: 'Weather of a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => ({ city, degrees: 21 }),
});

async function chat() {
  await generateText({ model: openai.chat('gpt-4o-mini'), ...question, ...context });
}

async function stream() {
  const answer = streamText({ model: openai.chat('gpt-4o-mini'), ...question, ...context });
  for await (const _ of answer.textStream);
}

async function tool_() {
  await generateText({
    model: openai.chat('gpt-4o-mini'),
    messages: [{ role: 'user', content: 'How warm is it in Paris?' }],
    tools: { get_weather: getWeather },
    toolChoice: 'auto',
    stopWhen: stepCountIs(3),
    ...context,
  });
}

/** The responses API, which openai(...) means by default. */
async function responses() {
  await generateText({ model: openai.responses('gpt-4o-mini'), ...question, ...context });
}

async function object() {
  await generateObject({
    model: openai.chat('gpt-4o-mini'),
    schema: z.object({ city: z.string() }),
    prompt: 'Name the capital of France.',
    telemetry: context.telemetry,
  });
}

async function embeddings() {
  const model = openai.embeddingModel('text-embedding-3-small');
  await embed({ model, value: 'capital of France', ...context });
  await embedMany({ model, values: ['capital of France', 'capital of Italy'], ...context });
}

async function rerank_() {
  await rerank({
    model: cohere.reranking('rerank-v3.5'),
    query: 'capital of France',
    documents: ['Rome is the capital of Italy.', 'Paris is the capital of France.'],
    topN: 2,
    ...context,
  });
}

async function error() {
  const model = openai.chat('broken-model');
  await generateText({ model, ...question, maxRetries: 0, ...context }).catch(() => {});
}

/** The spans of AI SDK 6 from AI SDK 7, for those who moved the one but not the other. */
async function legacy() {
  const telemetry = { ...context.telemetry, integrations: [new LegacyOpenTelemetry()] };
  await generateText({
    ...context,
    telemetry,
    model: openai.chat('gpt-4o-mini'),
    ...question,
    tools: { get_weather: getWeather },
    stopWhen: stepCountIs(3),
  });
}

await { chat, stream, tool: tool_, responses, object, embeddings, rerank: rerank_, error, legacy }[process.argv[2]]();
await sdk.shutdown();
