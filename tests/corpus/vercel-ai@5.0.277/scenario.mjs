// Vercel AI SDK 5: spans are made for calls with experimental_telemetry; content is captured unless recordInputs or
// recordOutputs is false. Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318).
import { NodeSDK } from '@opentelemetry/sdk-node';
import { resourceFromAttributes } from '@opentelemetry/resources';

const sdk = new NodeSDK({
  resource: resourceFromAttributes({ 'service.version': '1.4.0', 'deployment.environment.name': 'staging' }),
});
sdk.start();

// Goes with each call. The keys of metadata are free; these four become session, user, tenant and tags in retraind.
const telemetry = {
  isEnabled: true,
  functionId: 'geography-teacher',
  metadata: { sessionId: 'session-1', userId: 'user-1', tenantId: 'acme', tags: ['geography', 'beta'], plan: 'pro' },
};

// --- snippet ends here ---
// scenarios: chat stream tool responses object embeddings error
import { embed, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { z } from 'zod';

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const question = {
  system: 'You are a geography teacher.',
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
  await generateText({ model: openai.chat('gpt-4o-mini'), ...question, experimental_telemetry: telemetry });
}

async function stream() {
  const answer = streamText({ model: openai.chat('gpt-4o-mini'), ...question, experimental_telemetry: telemetry });
  for await (const _ of answer.textStream);
}

async function tool_() {
  await generateText({
    model: openai.chat('gpt-4o-mini'),
    messages: [{ role: 'user', content: 'How warm is it in Paris?' }],
    tools: { get_weather: getWeather },
    toolChoice: 'auto',
    stopWhen: stepCountIs(3),
    experimental_telemetry: telemetry,
  });
}

/** The responses API, which openai(...) means by default. */
async function responses() {
  await generateText({ model: openai.responses('gpt-4o-mini'), ...question, experimental_telemetry: telemetry });
}

async function object() {
  await generateObject({
    model: openai.chat('gpt-4o-mini'),
    schema: z.object({ city: z.string() }),
    prompt: 'Name the capital of France.',
    experimental_telemetry: telemetry,
  });
}

async function embeddings() {
  const model = openai.textEmbeddingModel('text-embedding-3-small');
  await embed({ model, value: 'capital of France', experimental_telemetry: telemetry });
  await embedMany({ model, values: ['capital of France', 'capital of Italy'], experimental_telemetry: telemetry });
}

async function error() {
  const model = openai.chat('broken-model');
  await generateText({ model, ...question, maxRetries: 0, experimental_telemetry: telemetry }).catch(() => {});
}

await { chat, stream, tool: tool_, responses, object, embeddings, error }[process.argv[2]]();
await sdk.shutdown();
