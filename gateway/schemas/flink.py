"""Flink SQL for sqlglot, as far as CREATE TABLE needs it (Flink documents, "Data Types" and "CREATE Statements")."""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp, generator, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokenizer_core import TokenType


class Flink(Dialect):
    """Names in backticks, ROW for structures, a space between a field and its type."""

    class Tokenizer(tokens.Tokenizer):
        """What quotes a name, and what a structure is called."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **tokens.Tokenizer.KEYWORDS,
            "ROW": TokenType.STRUCT,
            "STRING": TokenType.TEXT,
        }

    class Generator(generator.Generator):
        """The names of the types."""

        TYPE_MAPPING: ClassVar[dict[exp.DType, str]] = {
            **generator.Generator.TYPE_MAPPING,
            exp.DType.TEXT: "STRING",
            exp.DType.UUID: "STRING",
            exp.DType.JSON: "STRING",
            exp.DType.STRUCT: "ROW",
            exp.DType.TIMESTAMPTZ: "TIMESTAMP_LTZ(3)",
        }
