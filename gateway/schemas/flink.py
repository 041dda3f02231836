"""Flink SQL for sqlglot, as far as tables and the expressions of derived streams need it (Flink's documents, "Data
Types", "CREATE Statements" and "System (Built-in) Functions")."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import exp, generator, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokenizer_core import TokenType


class Flink(Dialect):
    """Names in backticks, ROW for structures, a space between a field and its type."""

    class Tokenizer(tokens.Tokenizer):
        """The quotes of a name, and the name of a structure."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **tokens.Tokenizer.KEYWORDS,
            "ROW": TokenType.STRUCT,
            "STRING": TokenType.TEXT,
        }

    class Generator(generator.Generator):
        """The names of types and functions."""

        TYPE_MAPPING: ClassVar[dict[exp.DType, str]] = {
            **generator.Generator.TYPE_MAPPING,
            exp.DType.TEXT: "STRING",
            exp.DType.UUID: "STRING",
            exp.DType.JSON: "STRING",
            exp.DType.STRUCT: "ROW",
            exp.DType.TIMESTAMPTZ: "TIMESTAMP_LTZ(3)",
        }
        TRANSFORMS: ClassVar[dict[type[exp.Expr], Callable[..., str]]] = {
            **generator.Generator.TRANSFORMS,
            exp.Length: lambda writer, node: writer.func("CHAR_LENGTH", node.this),
            exp.ArraySize: lambda writer, node: writer.func("CARDINALITY", node.this),
            exp.StrPosition: lambda writer, node: writer.func("LOCATE", node.args["substr"], node.this),
            exp.IntDiv: lambda writer, node: writer.binary(node, "/"),
            exp.Mod: lambda writer, node: writer.binary(node, "%"),
        }
