"""Names and labels of Kubernetes objects, checked by Kubernetes' own rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flask_boxkite.errors import ConfigError

__all__ = ["ObjectMeta"]

_PART = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_PART}([.]{_PART})*")
_WORD = "[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"((?=[^/]{{1,253}}/){_PART}([.]{_PART})*/)?{_WORD}")
_LABEL_VALUE = re.compile(f"({_WORD})?")


@dataclass(frozen=True)
class ObjectMeta:
    """Name and labels of an object.

    Attributes:
        name: Small letters, digits, ``-`` and ``.``.
        labels: Labels by which an operator may select the object.

    Raises:
        ConfigError: Kubernetes would refuse the name or a label.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            msg = f"{self.name!r} is not a name for an object of Kubernetes. Use small letters, digits, '-' and '.'."
            raise ConfigError(msg)
        for label, value in self.labels.items():
            if not _LABEL.fullmatch(label) or not _LABEL_VALUE.fullmatch(value):
                msg = f"'{label}={value}' is not a label for an object of Kubernetes. Write it as 'release=prometheus'."
                raise ConfigError(msg)

    @classmethod
    def of(cls, name: str, labels: Iterable[str]) -> ObjectMeta:
        """Take the labels in the form ``name=value``.

        Raises:
            ConfigError: Kubernetes would refuse a label, or one occurs twice.
        """
        pairs = [text.partition("=")[::2] for text in labels]
        if len(dict(pairs)) < len(pairs):
            msg = f"Labels must be given once each, got {', '.join(labels)}."
            raise ConfigError(msg)
        return cls(name, dict(pairs))

    def options(self) -> Iterator[str]:
        """Yield the command-line options that describe the object."""
        yield f"--kubernetes {self.name}"
        yield from (f"--label {label}={value}" for label, value in self.labels.items())
