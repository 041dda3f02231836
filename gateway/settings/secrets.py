"""The texts that no message may repeat: what the environment's variables and the files of secrets hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.eventlog.kafka.names import SECRETS

SHORTEST = 6
"""Characters of a text that is hidden: a shorter one is a part of many words, and nobody's secret."""
_PASSWORD = re.compile(r"(?:^|//|,)[^/?#@:,\s]*:([^/?#@\s]+)@")
"""The password in an address, `scheme://user:password@host`; also where the scheme is missing."""
_HIDDEN_OPTIONS = ("SECRET", "KEY", "TOKEN", "PASSWORD", "SAS", "CREDENTIAL")
"""What is in the name of an option of an object store that is nobody's business."""
_PREFIXES = (200, 100, 60)
"""Lengths at which messages cut a text."""


class Secrets:
    """Texts, and what stands in their place in a message."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def learn(self, text: str, shown: str) -> None:
        """Hide a text from now on, also where it is cut or written with escapes."""
        for form in (text, repr(text)[1:-1]):
            for part in (form, *(form[:length] for length in _PREFIXES if len(form) > length)):
                if len(part) >= SHORTEST:
                    self._shown.setdefault(part, shown)

    def hide(self, messages: Iterable[str]) -> list[str]:
        """Messages without the texts. Their places (`file:line`) stay as they are."""
        texts = sorted(self._shown, key=len, reverse=True)
        return [self._hidden(message, texts) for message in messages]

    def _hidden(self, message: str, texts: list[str]) -> str:
        place, separator, rest = message.partition(": ")
        for text in texts:
            rest = rest.replace(text, self._shown[text])
        return place + separator + rest


def learn_settings(secrets: Secrets, values: Mapping[str, Any]) -> None:
    """Hide the secrets that stand in the values of settings, by key."""
    for key, names in (("kafka", SECRETS), ("schema_registry", ("password", "token"))):
        members = values.get(key)
        for name in names:
            if isinstance(members, Mapping) and isinstance(text := members.get(name), str):
                secrets.learn(text, f"({name})")
    store = values.get("archive_options")
    for name, text in store.items() if isinstance(store, Mapping) else ():
        if isinstance(text, str) and any(word in str(name).upper() for word in _HIDDEN_OPTIONS):
            secrets.learn(text, f"({name})")
    learn_addresses(secrets, values)


def learn_addresses(secrets: Secrets, value: Any) -> None:
    """Hide the passwords of all addresses in a value, however deep."""
    if isinstance(value, str):
        for password in _PASSWORD.findall(value[:4096]):
            secrets.learn(password, "(password)")
    elif isinstance(value, Mapping):
        for member in value.values():
            learn_addresses(secrets, member)
    elif isinstance(value, list | tuple):
        for member in value:
            learn_addresses(secrets, member)
