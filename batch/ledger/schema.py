"""Compares the schema of a ledger with the one that this program makes.

Old ledgers were upgraded step by step, so the text that made their tables differs from that of a new ledger. So both
are compared by SQLite's own descriptions of them, and by the keywords that those descriptions leave out. Of a ledger in
PostgreSQL, columns and constraints are compared with the declared ones, and there must be nothing that acts by itself.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import base
from sqlalchemy.schema import CreateIndex, CreateTable

from batch.ledger import tables as t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Schema: TypeAlias = "Mapping[tuple[str, str], frozenset[tuple[Any, ...]]]"
"""By kind and name of each object what SQLite says of it."""

HAS_VERSION: Final = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, as it creates it."""

VIEW: Final = "changes"
CREATE_VIEW: Final = """CREATE VIEW changes AS
SELECT run.id AS run, request.number AS request, request.operation, identity.external_id AS identity_id,
    item.type AS item_type, item.external_id AS item_id, detail.comment, detail.start_date, detail.remove_date,
    detail.metadata, detail.account, request.state, request.state_at, finding.state AS tenant_state,
    track.since AS tenant_since, finding.who AS tenant_who, finding.said AS tenant_said
FROM request JOIN run ON run.number = request.run
JOIN recipient ON recipient.request = request.number JOIN identity ON identity.id = recipient.identity
JOIN request_item ON request_item.request = request.number JOIN item ON item.id = request_item.item
JOIN detail ON detail.id = request_item.detail
LEFT JOIN track ON track.request = request.number AND track.identity = identity.id AND track.item = item.id
LEFT JOIN finding ON finding.id = track.finding"""
"""Every change in words, for people. Each upgrade makes it anew; no code reads it."""

_TEXTS: Final = """
    SELECT type, name, tbl_name, sql FROM main.sqlite_master
    WHERE name NOT IN ('sqlite_stat1', 'sqlite_stat3', 'sqlite_stat4')
"""
"""SQLite derives everything else from these."""
_OBJECTS: Final = """
    SELECT type, name, sql FROM main.sqlite_master
    WHERE sql IS NOT NULL AND name NOT IN ('sqlite_stat1', 'sqlite_stat3', 'sqlite_stat4')
"""
"""Without the statistics that ANALYZE keeps, which change nothing but speed."""
_COLUMNS: Final = """
    SELECT 'table', m.name, 'column', x.name, upper(x.type), x."notnull", x.dflt_value, x.pk, x.hidden
    FROM main.sqlite_master AS m, pragma_table_xinfo(m.name) AS x WHERE m.type = 'table'
"""
"""Without their order, which differs in upgraded tables."""
_REFERENCES: Final = """
    SELECT 'table', m.name, 'reference', x."table", x."from", x."to", x.on_update, x.on_delete, x."match"
    FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name) AS x WHERE m.type = 'table'
"""
_INDEXES: Final = """
    SELECT CASE i.origin WHEN 'c' THEN 'index' ELSE 'table' END, CASE i.origin WHEN 'c' THEN i.name ELSE m.name END,
        m.name, i."unique", i.origin, i.partial,
        (SELECT group_concat(part) FROM (
            SELECT x.name || ' ' || x.coll || ' ' || x."desc" AS part
            FROM pragma_index_xinfo(i.name) AS x WHERE x."key" ORDER BY x.seqno
        ))
    FROM main.sqlite_master AS m, pragma_index_list(m.name) AS i WHERE m.type = 'table'
"""
"""Those that have a name, and those of tables' own constraints."""
_WORDS: Final = re.compile(
    r"\b(AUTOINCREMENT|CHECK|COLLATE|CONFLICT|DEFERRABLE|DEFERRED|GENERATED|ROWID|STRICT|VIRTUAL)\b", re.IGNORECASE
)
_UNMEANING: Final = re.compile(r'[\s"`\[\]]+')


_OURS: Final = f"""
    WITH ours AS (
        SELECT oid, relname, relrowsecurity, relpersistence FROM pg_class
        WHERE relkind = 'r' AND relname IN ({", ".join(f"'{name}'" for name in t.metadata.tables)})
            AND pg_table_is_visible(oid)
    ), here AS (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
"""  # noqa: S608 - of constants, as are the two below
_DECLARED: Final = f"""{_OURS}
    SELECT 'column', o.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
        coalesce(c.collname, ''), a.attnotnull::text
    FROM ours AS o JOIN pg_attribute AS a ON a.attrelid = o.oid LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'constraint', o.relname || '.' || k.conname, k.contype::text, '', k.convalidated::text
    FROM ours AS o JOIN pg_constraint AS k ON k.conrelid = o.oid WHERE k.contype <> 'n'
"""  # noqa: S608
_ACTING: Final = f"""{_OURS}
    SELECT 'trigger', g.tgname || ' ON ' || o.relname
    FROM ours AS o JOIN pg_trigger AS g ON g.tgrelid = o.oid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 'rule', r.rulename || ' ON ' || o.relname FROM ours AS o JOIN pg_rewrite AS r ON r.ev_class = o.oid
    UNION ALL
    SELECT 'table', o.relname || ' that a crash empties' FROM ours AS o WHERE o.relpersistence <> 'p'
    UNION ALL
    SELECT 'policy', 'row level security ON ' || o.relname FROM ours AS o WHERE o.relrowsecurity
    UNION ALL
    SELECT 'index', c.relname || ' ON ' || o.relname
    FROM ours AS o JOIN pg_index AS x ON x.indrelid = o.oid JOIN pg_class AS c ON c.oid = x.indexrelid
    WHERE x.indexprs IS NOT NULL OR x.indpred IS NOT NULL
    UNION ALL
    SELECT 'default', o.relname || '.' || a.attname
    FROM ours AS o JOIN pg_attribute AS a ON a.attrelid = o.oid
    JOIN pg_attrdef AS d ON d.adrelid = o.oid AND d.adnum = a.attnum
    WHERE a.attgenerated <> '' OR pg_get_expr(d.adbin, d.adrelid)
        !~ '^(nextval[(]''[^'']+''::regclass[)]|''[^'']*''::[a-z ]+|[0-9.]+|true|false)$'
    UNION ALL
    SELECT 'table', 'that inherits from ' || o.relname FROM ours AS o JOIN pg_inherits AS i ON i.inhparent = o.oid
    UNION ALL
    SELECT 'operator', o.oid::regoperator::text FROM pg_operator AS o JOIN here ON here.oid = o.oprnamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend WHERE objid = o.oid AND deptype = 'e')
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text FROM pg_proc AS p JOIN here ON here.oid = p.pronamespace
    WHERE EXISTS (SELECT FROM pg_proc WHERE proname = p.proname AND pronamespace = 'pg_catalog'::regnamespace)
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""  # noqa: S608
_TYPES: Final = {"TEXT": "text", "INTEGER": "integer", "FLOAT": "double precision", "BOOLEAN": "boolean"}
_KINDS: Final = {
    sa.PrimaryKeyConstraint: "p",
    sa.UniqueConstraint: "u",
    sa.ForeignKeyConstraint: "f",
    sa.CheckConstraint: "c",
}


def differences_in_postgresql(
    run: Callable[[str], Iterable[tuple[Any, ...]]],
) -> tuple[tuple[str, str, str], ...]:
    """As `differences`, for PostgreSQL. Indexes that are no constraints change nothing but speed."""
    found = {(str(kind), str(name)): tuple(about) for kind, name, *about in run(_DECLARED)}
    expected = _declared()
    differing = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    return (
        *((kind, name, "added") for kind, name in run(_ACTING)),
        *((*key, "removed" if key not in found else "changed" if key in expected else "added") for key in differing),
    )


@cache
def _declared() -> Mapping[tuple[str, str], tuple[str, ...]]:
    make: Callable[[], sa.Dialect] = base.PGDialect
    dialect = make()
    names: Any = dialect.identifier_preparer
    declared: dict[tuple[str, str], tuple[str, ...]] = {}
    for table in t.metadata.sorted_tables:
        for column in table.c:
            kind, _, collation = column.type.compile(dialect=dialect).partition(" COLLATE ")
            about = (_TYPES[kind], collation.strip('"'), str(not column.nullable).lower())
            declared["column", f"{table.name}.{column.name}"] = about
        for constraint in table.constraints:
            name = names.format_constraint(constraint)
            declared["constraint", f"{table.name}.{name}"] = (_KINDS[type(constraint)], "", "true")
    return declared


def differences(run: Callable[[str], Iterable[tuple[Any, ...]]]) -> tuple[tuple[str, str, str], ...]:
    """Differences from a new ledger.

    Args:
        run: Runs a statement on the ledger, and returns its rows.

    Returns:
        Of each object that differs the kind, the name, and one of "added", "changed" and "removed". A view that is
        missing is no difference: no code reads it.
    """
    if sorted(run(_TEXTS), key=str) == _expected_texts():
        return ()
    found, expected = _read(run), _expected()
    differing = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    return tuple(
        (*key, "removed" if key not in found else "changed" if key in expected else "added")
        for key in differing
        if key in found or key != ("view", VIEW)
    )


@cache
def _expected() -> _Schema:
    with closing(_new()) as new:
        return _read(new.execute)


@cache
def _expected_texts() -> list[tuple[Any, ...]]:
    with closing(_new()) as new:
        return sorted(new.execute(_TEXTS), key=str)


def _new() -> sqlite3.Connection:
    """A new ledger's tables."""
    new = sqlite3.connect(":memory:")
    tables = [*t.metadata.sorted_tables, HAS_VERSION]
    indexes = [index for table in tables for index in table.indexes]
    made: list[sa.schema.DDLElement] = [*map(CreateTable, tables), *map(CreateIndex, indexes)]
    for statement in (*(str(one.compile(dialect=sqlite.dialect())) for one in made), CREATE_VIEW):
        new.execute(statement)
    return new


def _read(run: Callable[[str], Iterable[tuple[Any, ...]]]) -> _Schema:
    schema: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for kind, name, text in run(_OBJECTS):
        said = schema.setdefault((kind, name), set())
        if kind == "table":
            said.update(_unsaid(text))
        elif kind != "index":
            said.add((text,))
    for statement in (_COLUMNS, _REFERENCES, _INDEXES):
        for kind, name, *about in run(statement):
            if (kind, name) in schema:
                schema[kind, name].add(tuple(about))
    return {key: frozenset(said) for key, said in schema.items()}


def _unsaid(text: str) -> Iterable[tuple[Any, ...]]:
    """The parts of a table that SQLite does not describe: its keywords, each as often as it occurs, and its CHECKs."""
    words = [word.upper() for word in _WORDS.findall(text)]
    yield ("words", *sorted(words))
    for condition in _conditions(text):
        yield ("condition", condition)


def _conditions(text: str) -> Iterable[str]:
    """The conditions of CHECKs, without blanks and quotes of names."""
    for found in re.finditer(r"\bCHECK\s*\(", text, re.IGNORECASE):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield _UNMEANING.sub("", text[found.end() : end - 1])
