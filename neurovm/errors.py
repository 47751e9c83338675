# SPDX-License-Identifier: Apache-2.0
"""The exceptions of neurovm.

NeurovmError
├── ModelError (ValueError)            a source model that cannot be read or converted
│   └── UnsupportedOperatorError       an operator, or a form of one, with no exact rule here
├── BundleError (ValueError)           a damaged, truncated or foreign .nvm file
├── ShapeError (ValueError)            data whose shape, length or type does not fit the model
├── ConfigError (ValueError)           a configuration file with a wrong key or value
├── RecordingError (ValueError)        a recording of messages that cannot be used
├── EventError (ValueError)            events, samples or their parameters that cannot be used
├── StepError (ValueError)             an output step that is wrong, or does not fit its place
└── BackendError (RuntimeError)        a backend or device that is missing or failed

Messages say what, where, what was found and what is accepted.
"""

from neurovm.nearest import nearest_form


class NeurovmError(Exception):
    """Base of everything this package raises on purpose."""


class ModelError(NeurovmError, ValueError):
    """A source model that cannot be read or converted."""


class UnsupportedOperatorError(ModelError):
    """An operator (or a form of it) that has no exact rule here.

    Attributes: ``source`` (file name), ``operator`` (its name in the source format),
    ``index`` (its position in the source), ``needed`` (what would be needed), ``nearest`` (the
    nearest form that is supported).
    """

    def __init__(
        self, source: str, operator: str, index: int, needed: str, nearest: str | None = None
    ) -> None:
        super().__init__(f"{source}: operator {index} ({operator}) is not supported: {needed}")
        self.source = source
        self.operator = operator
        self.index = index
        self.needed = needed
        self.nearest = nearest_form(operator, needed) if nearest is None else nearest


class BundleError(NeurovmError, ValueError):
    """A damaged, truncated or foreign .nvm file."""


class ShapeError(NeurovmError, ValueError):
    """Data whose shape, length or type does not fit the model."""


class ConfigError(NeurovmError, ValueError):
    """A configuration that cannot be used.

    Attributes: ``file``, ``key`` (dotted path, empty for the whole file), ``found``, ``accepted``,
    ``line`` and ``column`` (from 1, None where unknown).
    """

    def __init__(
        self,
        file: str,
        key: str,
        found: str,
        accepted: str,
        *,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        where = ":".join([file, *(str(n) for n in (line, column) if n is not None)])
        where = f"{where}: {key}" if key else where
        super().__init__(f"{where}: found {found}; accepted: {accepted}")
        self.file = file
        self.key = key
        self.found = found
        self.accepted = accepted
        self.line = line
        self.column = column


class RecordingError(NeurovmError, ValueError):
    """A recording of messages with a wrong line, or one that has expired.

    Attributes: ``file``, ``line`` (from 1), ``found``, ``accepted``.
    """

    def __init__(self, file: str, line: int, found: str, accepted: str) -> None:
        super().__init__(f"{file}:{line}: found {found}; accepted: {accepted}")
        self.file = file
        self.line = line
        self.found = found
        self.accepted = accepted


class EventError(NeurovmError, ValueError):
    """Events or samples that cannot be used, or parameters of what is to be made of them.

    ``index`` is the first event at fault, from 0; None where it is not one event.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class StepError(NeurovmError, ValueError):
    """An output step with a wrong parameter, or one that does not fit what comes to it.

    Attributes: ``key`` (of the parameter; in a chain ``[3].key``), ``found``, ``accepted``.
    """

    def __init__(self, key: str, found: str, accepted: str) -> None:
        where = f"{key}: " if key else ""
        super().__init__(f"{where}found {found}; accepted: {accepted}")
        self.key = key
        self.found = found
        self.accepted = accepted

    def within(self, place: str) -> "StepError":
        """The same, of a step at `place` of something larger."""
        key = f"{place}.{self.key}" if self.key else place
        return StepError(key, self.found, self.accepted)


class BackendError(NeurovmError, RuntimeError):
    """A backend or device that is missing or failed."""
