"""The models that this broker knows: names, versions, files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from boom_streams.errors import SettingsError

__all__ = ["MODELS", "Model", "models_of"]


class Model(NamedTuple):
    """A model as its authors publish it, converted to ONNX."""

    name: str
    """Field of ``classifications``."""
    version: str
    file: str
    images: str
    """Name of the input that takes the images."""
    numbers: str
    """Name of the input that takes the numbers; empty: the model looks at the images alone."""
    features: Literal["acai", "btsbot", ""]
    """Which numbers, of `boom_streams.models.features`."""
    what: str
    """What a score near 1 means."""
    survey: str = "ZTF"
    """Whose alerts it was trained on."""


_ACAI = "d1_dnn_20201130"

MODELS = {
    model.name: model
    for model in (
        *(
            Model(f"acai_{letter}", _ACAI, f"acai_{letter}.{_ACAI}.onnx", "triplets", "features", "acai", what)
            for letter, what in (
                ("h", "in a host galaxy"),
                ("n", "in the nucleus of its host"),
                ("v", "a variable star"),
                ("o", "without a visible counterpart"),
                ("b", "bogus"),
            )
        ),
        Model(
            "btsbot", "v1.0.1", "btsbot-v1.0.1.onnx", "triplet", "metadata", "btsbot", "a bright transient to follow up"
        ),
        Model("braai", "d6_m9", "braai_d6_m9.onnx", "conv1_input", "", "", "real, not an artefact"),
    )
}


def models_of(survey: str, names: Iterable[str]) -> list[str]:
    """Those of some models that look at a survey's alerts.

    Raises
    ------
    SettingsError
        If there is no model of such a name.
    """
    for name in names:
        if name not in MODELS:
            raise SettingsError(f"no model is called {name!r} (setting BOOM_MODELS); there are {', '.join(MODELS)}")
    return [name for name in names if MODELS[name].survey == survey]
