"""Which generator a profile asks for."""

from hare.core.errors import HareError
from hare.core.sections import Synthesis
from hare.synthesis.generator import Generator


def chosen_generator(config: Synthesis) -> Generator:
    """The generator that ``config.generator`` names: ``embedded``, ``vllm``, or the URL of an OpenAI-compatible server.

    Raises:
        HareError: it is none of these, or a server is named without a model.
    """
    if config.generator == "embedded":
        from hare.synthesis.embedded import EmbeddedGenerator

        return EmbeddedGenerator(config.generation_batch)
    if config.generator != "vllm" and not config.generator.startswith(("http://", "https://")):
        raise HareError(
            f"synthesis.generator = {config.generator!r} names no generator.",
            "choose embedded, vllm, or the URL of a server that speaks the OpenAI protocol",
        )
    if not config.generator_model:
        raise HareError("synthesis.generator_model is empty.", "name the model that the server is to run")
    from hare.synthesis.served import ServedGenerator

    return ServedGenerator(config.generator, config.generator_model, config.generation_batch)
