"""Which generator a profile asks for; the one place that knows them all."""

import importlib.util

from hare.core.errors import HareError
from hare.synthesis.engines.generator import Generator


def chosen_generator(name: str, model: str, batch: int) -> Generator:
    """The generator of that name: ``embedded``, ``vllm``, or the URL of an OpenAI-compatible server.

    ``model`` is what vLLM or the server is to run; ``batch`` requests are answered together or are in flight at once.

    Raises:
        HareError: it is none of these, its engine has no wheel for this platform, or a server is named without a model.
    """
    if name == "embedded":
        _refuse_missing_engine()
        from hare.synthesis.engines.embedded import EmbeddedGenerator

        return EmbeddedGenerator(batch)
    if name != "vllm" and not name.startswith(("http://", "https://")):
        raise HareError(
            f"{name!r} names no generator.",
            "choose embedded, vllm, or the URL of a server that speaks the OpenAI protocol",
        )
    if not model:
        raise HareError(f"No model is named for the generator {name}.", "name the model that the server is to run")
    from hare.synthesis.engines.served import ServedGenerator

    return ServedGenerator(name, model, batch)


def _refuse_missing_engine() -> None:
    if importlib.util.find_spec("openvino_genai") is None:
        raise HareError(
            "The embedded generator needs openvino-genai, which is not installed: Linux on Arm has no wheel of it.",
            "name vllm or a server as the generator, take published texts, or run on Linux x86_64 or macOS",
        )
