"""The models that this broker knows: names, versions, files."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MODELS", "Model"]


class Model(NamedTuple):
    """A model as its authors publish it, converted to ONNX."""

    name: str
    """Field of ``classifications``."""
    version: str
    file: str
    images: str
    """Name of the input that takes the images."""
    features: str | None
    """Name of the input that takes the numbers; None: the model looks at the images alone."""
    what: str
    """What a score near 1 means."""


_ACAI_VERSION = "d1_dnn_20201130"

MODELS = {
    model.name: model
    for model in (
        *(
            Model(f"acai_{letter}", _ACAI_VERSION, f"acai_{letter}.{_ACAI_VERSION}.onnx", "triplets", "features", what)
            for letter, what in (
                ("h", "in a host galaxy"),
                ("n", "in the nucleus of its host"),
                ("v", "a variable star"),
                ("o", "without a visible counterpart"),
                ("b", "bogus"),
            )
        ),
        Model("btsbot", "v1.0.1", "btsbot-v1.0.1.onnx", "triplet", "metadata", "a bright transient to follow up"),
        Model("braai", "d6_m9", "braai_d6_m9.onnx", "conv1_input", None, "real, not an artefact"),
    )
}
