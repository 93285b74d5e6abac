"""The shipped table: which host a well-known variable belongs to.

A key from one of these variables may go to these hosts over https without the operator naming
them (api.md "Keys and hosts"). Exact hosts only: under a wildcard such as a cloud's per-customer
names, anybody can rent a host and collect keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KNOWN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # the providers of provider-abi.md §8
        "OPENAI_API_KEY": ("api.openai.com",),
        "OLLAMA_API_KEY": ("ollama.com",),
        "ANTHROPIC_API_KEY": ("api.anthropic.com",),
        "GEMINI_API_KEY": ("generativelanguage.googleapis.com",),
        "GOOGLE_API_KEY": ("generativelanguage.googleapis.com",),
        "GROQ_API_KEY": ("api.groq.com",),
        "MISTRAL_API_KEY": ("api.mistral.ai",),
        "XAI_API_KEY": ("api.x.ai",),
        "OPENROUTER_API_KEY": ("openrouter.ai",),
        "DEEPSEEK_API_KEY": ("api.deepseek.com",),
        "ZAI_API_KEY": ("api.z.ai",),
        "ALIBABA_API_KEY": ("dashscope-intl.aliyuncs.com",),
        "DASHSCOPE_API_KEY": ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
        "MOONSHOT_API_KEY": ("api.moonshot.ai", "api.moonshot.cn"),
        "KIMI_API_KEY": ("api.kimi.com",),
        # others with one documented home
        "AI21_API_KEY": ("api.ai21.com",),
        "CEREBRAS_API_KEY": ("api.cerebras.ai",),
        "CO_API_KEY": ("api.cohere.com", "api.cohere.ai"),
        "COHERE_API_KEY": ("api.cohere.com", "api.cohere.ai"),
        "DEEPGRAM_API_KEY": ("api.deepgram.com",),
        "DEEPINFRA_API_KEY": ("api.deepinfra.com",),
        "ELEVENLABS_API_KEY": ("api.elevenlabs.io",),
        "FIREWORKS_API_KEY": ("api.fireworks.ai",),
        "JINA_API_KEY": ("api.jina.ai",),
        "MINIMAX_API_KEY": ("api.minimax.io",),
        "NVIDIA_API_KEY": ("integrate.api.nvidia.com",),
        "PERPLEXITY_API_KEY": ("api.perplexity.ai",),
        "SAMBANOVA_API_KEY": ("api.sambanova.ai",),
        "TOGETHER_API_KEY": ("api.together.xyz", "api.together.ai"),
        "VOYAGE_API_KEY": ("api.voyageai.com",),
    }
)


def known_hosts(variable: str) -> tuple[str, ...]:
    """The hosts that `variable` is known to belong to; none for an unknown one."""
    return KNOWN.get(variable, ())
