"""What plugin authors and our own tests share.

- `stub`: a made-up LLM endpoint on loopback, in three API shapes and with every bad manner
- `llm`: a real llama.cpp server and model (extra `local`)
- `gallery`: hostile guests, how each must end, and a runner
- `strategies`: Hypothesis strategies for wire documents (extra `testing`)
"""
