
∂


service.name
corpusó
1
'opentelemetry.instrumentation.openai.v10.16.9·
l¨ò™|kŒ„û(ô8à(v√∏U‡´í*openai.chat09 >d%ÍA=}‚@d%ÍJ
llm.request.type
chatJ

llm.vendor
OpenAIJ"
llm.request.model
gpt-4o-miniJ
llm.headers
NoneJ
llm.is_streamingJ/
openai.api_base
http://127.0.0.1:33955/v1/J
llm.prompts.0.role
userJ9
llm.prompts.0.content 
What is the capital of France?J.
llm.response.model
gpt-4o-mini-2024-07-18J)
llm.completions.0.finish_reason
stopJ%
llm.completions.0.role
	assistantJ>
llm.completions.0.content!
Paris is the capital of France.Z'	C-ÿ?d%Íllm.content.completion.chunkZ'	ü∑@d%Íllm.content.completion.chunkZ'	≤„ @d%Íllm.content.completion.chunkZ'	ä49@d%Íllm.content.completion.chunkZ'	õêQ@d%Íllm.content.completion.chunkz