"""The spreadsheet that wrote an input opens its result files, and they come back as inputs."""

from __future__ import annotations

import codecs
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batch.api.dialects import DIALECTS, Operation
from batch.model import IdentityBy, RowClass
from batch.names.resolve import resolve
from batch.pipeline import classify_input, with_outcomes
from batch.read import LoadedInputs, Table, make_interpretation, read_loaded
from batch.read.inputs import Content
from batch.report import workbook as written
from batch.report.files import WAYS_BACK, write_result_files
from batch.report.run_files import Origin, failed_name, rows_in_results, write_undo
from batch.states import State
from batch.status.matching import AcceptedChange
from batch.validate.rows import validate
from tests.plan.changes import RUN, hex_id
from tests.read import workbooks

if TYPE_CHECKING:
    from batch.settings import OutFormat

_HEADER = ("identity_id", "item_type", "item_id", "comment", "Team")
NONE = dict.fromkeys(("rejected", *WAYS_BACK))
_GOOD = (hex_id(1), "ROLE", hex_id(2), "=1+1", "Zoë")
_BAD = ("00123", "ROLE", hex_id(2), "'-x", 'a;b,c\t"d"')


def read(data: bytes, name: str = "in.csv", **options: Any) -> Table:
    return read_loaded(LoadedInputs((Content(name, data),), "digest", make_interpretation(**options)))


def write(
    folder: Path, table: Table, out_format: OutFormat = "csv", complaints: list[str] | None = None
) -> dict[str, str | None]:
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=datetime(2026, 11, 23, tzinfo=UTC))
    classified = classify_input(table, validated, plans=None, tenant="t", run=RUN)
    outcomes = with_outcomes(classified, run=RUN, reasons={}, ids={})
    complain = pytest.fail if complaints is None else complaints.append
    return write_result_files(folder, table, classified.rejected, outcomes, out_format=out_format, complain=complain)


def lines(delimiter: str) -> str:
    return "".join(
        delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in (_HEADER, _GOOD, _BAD)
    )


@pytest.mark.parametrize(
    ("data", "delimiter", "mark"),
    [
        (lines(",").encode(), ",", b""),
        (lines("\t").encode(), "\t", b""),
        (lines(";").encode(), ";", codecs.BOM_UTF8),
        (lines(",").encode("utf-8-sig"), ",", codecs.BOM_UTF8),
        (lines("\t").encode("utf-16"), "\t", codecs.BOM_UTF8),
        (lines(",").encode("cp1252"), ",", codecs.BOM_UTF8),
        (("sep=,\r\n" + lines(",")).encode(), ",", codecs.BOM_UTF8),
        (workbooks.workbook(_HEADER, _GOOD, extra=lambda _, sheet: sheet.write_row("A3", _BAD)), ",", codecs.BOM_UTF8),
    ],
    ids=["plain", "tabs", "semicolons", "mark", "utf-16", "windows", "hint", "workbook"],
)
def test_result_files_have_the_form_of_their_input_and_come_back(
    data: bytes, delimiter: str, mark: bytes, tmp_path: Path
) -> None:
    files = write(tmp_path, read(data))
    for path in filter(None, files.values()):
        content = Path(path).read_bytes()
        assert content.startswith(codecs.BOM_UTF8) is bool(mark)
        first = content.removeprefix(codecs.BOM_UTF8).decode().splitlines()[0]
        assert first.startswith(delimiter.join(f'"{header}"' for header in _HEADER))
    again = read(Path(files["rejected"] or "").read_bytes(), "rejected.csv")
    assert again.originals.select(_HEADER).rows() == [_BAD]


def test_a_workbook_has_a_sheet_for_each_class_and_comes_back(tmp_path: Path) -> None:
    table = read("\n".join([lines(","), ",".join(_GOOD[:3]) + ",again,", "ragged"]).encode())
    files = write(tmp_path, table, "xlsx")
    assert files == NONE | {name: str(tmp_path / "results.xlsx") for name in ("rejected", "results")}
    assert [path.name for path in tmp_path.iterdir()] == ["results.xlsx"]
    data = (tmp_path / "results.xlsx").read_bytes()
    again = read(data, "results.xlsx", sheet="rejected")
    assert again.originals.select(_HEADER).rows() == [_BAD]
    assert again.notices[0].startswith("results.xlsx is a result file of access-batch.")
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        parts = {name: book.read(name).decode() for name in book.namelist()}
    assert parts["xl/workbook.xml"].count("<sheet ") == 3
    for name in ("duplicate_in_input", "submitted", "rejected"):
        assert f'name="{name}"' in parts["xl/workbook.xml"]
    for name, part in parts.items():
        if name.startswith("xl/worksheets/sheet"):
            assert "<f>" not in part
            assert set(pl.Series([part]).str.extract_all(r' t="\w+"').item()) == {' t="inlineStr"'}
            # A number that somebody enters there stays text too.
            assert ' s="1"' in part


def test_only_rejected_rows_are_a_workbook_of_their_own(tmp_path: Path) -> None:
    table = read(lines(",").encode())
    about = pl.DataFrame({"row": [1], "rule": ["r"], "message": ["m"]}, schema_overrides={"row": pl.UInt32})
    files = write_result_files(tmp_path, table, about, None, out_format="xlsx", complain=pytest.fail)
    assert files == {"rejected": str(tmp_path / "rejected.xlsx")}
    assert read((tmp_path / "rejected.xlsx").read_bytes()).originals.select(_HEADER).rows() == [_BAD]
    none = about.clear()
    assert write_result_files(tmp_path, table, none, None, out_format="xlsx", complain=pytest.fail) == {
        "rejected": None
    }


@pytest.mark.parametrize("out_format", ["csv", "xlsx"])
def test_the_text_of_a_row_that_was_not_split_comes_back_until_its_columns_are_filled_in(
    out_format: OutFormat, tmp_path: Path
) -> None:
    ragged = ["=x;one;y;;;z", "just; one", "'two;\"x"]
    table = read("\n".join([";".join(_HEADER), ";".join(_BAD[:3]), *ragged, ""]).encode())
    for generation in ("first", "second", "third"):
        folder = tmp_path / generation
        files = write(folder, table, out_format)
        data, sheet = Path(files["rejected"] or "").read_bytes(), "" if out_format == "csv" else "rejected"
        before, table = table, read(data, "rejected.csv", sheet=sheet)
        assert table.originals.select(_HEADER[:3]).rows() == [_BAD[:3]], generation
        assert table.rejected.select("_raw").rows() == before.rejected.select("_raw").rows()
        assert table.rejected.get_column("_line").to_list() == [3, 4, 5]
        assert set(table.rejected.get_column("_message")) == {
            "The row was not split into columns, and they are still empty: fill them in from its text in `_raw`."
        }
    if out_format == "csv":
        mended = data.replace(b'"";"";"";"";"";"4"', b'"1";"ROLE";"2";"";"";"4"')
        assert mended != data
        table = read(mended, "rejected.csv")
        assert (table.rows.height, table.rejected.height) == (2, 2)


@pytest.mark.parametrize("out_format", ["csv", "xlsx"])
def test_what_somebody_corrected_in_a_file_is_kept_if_it_is_written_again(
    out_format: OutFormat, tmp_path: Path
) -> None:
    table = read(lines(",").encode())
    path = Path(write(tmp_path, table, out_format)["rejected"] or "")
    again: list[str] = []
    write(tmp_path, table, out_format, again)
    write(tmp_path, read(lines(";").encode()), out_format, again)
    assert (again, list(tmp_path.glob("*.old*"))) == ([], []), "the run itself changes its own files"
    texts = [b"corrected", b"corrected again"]
    for text in texts:
        path.write_bytes(text)
        write(tmp_path, table, out_format, again)
    names = [f"{path.stem}.old{path.suffix}", f"{path.stem}.old2{path.suffix}"]
    assert [(tmp_path / name).read_bytes() for name in names] == texts
    assert again[0] == (
        f"{path} was changed since access-batch wrote it, so it is kept as {tmp_path / names[0]}: "
        "if you have corrected rows there, submit that file."
    )
    assert len(again) == len(names)
    if out_format == "csv":
        path.write_bytes(b"corrected, and the input too")
        write(tmp_path, read(lines(",").replace("00123", hex_id(3)).encode()), out_format, again)
        assert not path.exists()
        assert (tmp_path / "rejected.old3.csv").read_bytes() == b"corrected, and the input too"


@pytest.mark.parametrize("text", ["x" * 32_768, "<r><t>a</t></r>"])
def test_what_a_workbook_cannot_hold_unchanged_is_written_as_csv(text: str, tmp_path: Path) -> None:
    table = read(f"{','.join(_HEADER)}\n{','.join(_GOOD[:3])},x,{text}\n".encode())
    complaints: list[str] = []
    files = write(tmp_path, table, "xlsx", complaints)
    assert files == NONE | {"results": str(tmp_path / "results.csv")}
    assert text in (tmp_path / "results.csv").read_text()
    (complaint,) = complaints
    assert complaint.startswith(f"{tmp_path / 'results.xlsx'} can't be written as a workbook: a cell ")
    assert complaint.endswith(" CSV files are written instead.")


def test_a_sheet_has_no_more_rows_than_spreadsheets_take() -> None:
    rows = pl.DataFrame({"a": pl.repeat("x", written.MOST_ROWS + 1, eager=True)})
    assert "1,048,576 rows" in written.misfit({"submitted": written.Sheet(("a",), rows)})
    assert not written.misfit({"submitted": written.Sheet(("a",), rows.head(written.MOST_ROWS))})


@pytest.mark.parametrize("out_format", ["csv", "xlsx"])
def test_refused_unsent_and_failed_rows_come_back_in_their_own_form_with_the_reason(
    out_format: OutFormat, tmp_path: Path
) -> None:
    several = (hex_id(1), "ROLE", f"{hex_id(7)}|{hex_id(8)}|{hex_id(9)}", "c;d", "Zoë")
    rows = [(hex_id(number), *_GOOD[1:]) for number in range(1, 6)]
    text = "\n".join(";".join(f'"{cell}"' for cell in row) for row in (_HEADER, several, *rows))
    table = read(text.encode())
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=datetime(2026, 11, 23, tzinfo=UTC))
    changes = with_outcomes(
        classify_input(table, validated, plans=None, tenant="t", run=RUN), run=RUN, reasons={}, ids={}
    )
    told = [
        ("submitted", "ACCEPTED", "", "REQUEST_COMPLETED", ""),
        ("submitted", "REFUSED", "no such item [t-1]", None, None),
        ("submitted", "REFUSED", "no such item [t-2]", None, None),
        ("submitted", "ACCEPTED", "", "EXECUTING", "Ann"),
        ("submitted", "ACCEPTED", "", "REJECTED", "Ann: not now"),
        ("submitted", "PLANNED", "", None, None),
        ("held_back", None, "in_progress_conflict: …", None, None),
        ("submitted", "UNCONFIRMED", "", None, None),
    ]
    schema = dict.fromkeys(("class", "state", "reason", "tenant_state", "tenant_said"), pl.String)
    outcomes = changes.with_columns(pl.DataFrame(told, schema, orient="row"))
    files = write_result_files(
        tmp_path, table, validated.rejected, outcomes, out_format=out_format, complain=pytest.fail
    )

    since = outcomes.with_columns(elsewhere=pl.lit(value=True))
    again = write_result_files(tmp_path.with_name("again"), table, validated.rejected, since, complain=pytest.fail)
    assert again["failed"] is None, "another run has submitted these rows again"

    def back(name: str) -> Table:
        path = Path(files[name] or "")
        return read(path.read_bytes(), path.name, sheet="" if out_format == "csv" else name)

    refused = (*several[:2], f"{hex_id(8)}|{hex_id(9)}", *several[3:])
    assert back("refused").originals.select(_HEADER).rows() == [refused]
    assert back("failed").originals.select(_HEADER).rows() == [rows[1]]
    assert back("unsent").originals.select(_HEADER).rows() == [rows[2], rows[3]]
    assert back("unsent").form == table.form or out_format == "xlsx"
    if out_format == "csv":
        assert '"2";"refused";"no such item [t-1]; no such item [t-2]"' in (tmp_path / "refused.csv").read_text(
            "utf-8-sig"
        )
        assert "not sent" in (tmp_path / "unsent.csv").read_text("utf-8-sig")
        assert "REJECTED: Ann: not now" in (tmp_path / "failed.csv").read_text("utf-8-sig")
        done = outcomes.with_columns(pl.lit("submitted").alias("class"), pl.lit("ACCEPTED").alias("state"))
        done = done.with_columns(pl.lit("REQUEST_COMPLETED").alias("tenant_state"))
        write_result_files(tmp_path, table, validated.rejected, done, complain=pytest.fail)
        assert [path.name for path in tmp_path.iterdir()] == ["results.csv"], "files of earlier rows are removed"


def test_track_and_cancel_show_the_lines_and_the_users_own_columns_from_the_results(tmp_path: Path) -> None:
    grant = (hex_id(1).upper(), "ROLE", hex_id(2), "", "=Zoë; x")
    text = "\n".join(";".join(row) for row in (("Person", "item_type", "item_id", "comment", "_notes"), grant, grant))
    table = read(text.encode().replace(b"=Zo\xc3\xab; x", b'"=Zo\xc3\xab; x"'), maps=["Person=identity_id"])
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=datetime(2026, 11, 23, tzinfo=UTC))
    changes = classify_input(table, validated, plans=None, tenant="t", run=RUN)
    outcomes = with_outcomes(changes, run=RUN, reasons={}, ids={}).with_columns(request_id=pl.lit(f"{RUN}-1-x"))
    write_result_files(tmp_path, table, validated.rejected, outcomes, complain=pytest.fail)
    rows = rows_in_results([tmp_path / "missing", tmp_path], RUN)
    assert rows.select(pl.exclude("_person", "_thing")).rows(named=True) == [
        {"_line": "2", "_input_Person": hex_id(1).upper(), "_input__notes": "=Zoë; x"}
    ]
    origin = Origin(run=RUN, inputs=("in.csv",), rows=rows)
    assert (origin.lines()(hex_id(1), hex_id(2)), origin.lines()(hex_id(1), hex_id(3))) == ("2", "")
    granted = AcceptedChange(
        request=1,
        operation=Operation.GRANT,
        identity=hex_id(1),
        item_type="ROLE",
        item=hex_id(2),
        accepted_at=datetime(2026, 11, 23, tzinfo=UTC),
    )
    undo = write_undo(tmp_path, origin, [granted], "back", complain=pytest.fail)
    assert undo is not None
    back = read(Path(undo).read_bytes())
    assert back.originals.get_column("_input__notes").to_list() == ["=Zoë; x"]
    assert back.rows.select("identity_id", "comment").rows() == [(hex_id(1), "back")]
    assert rows_in_results([tmp_path], "another").is_empty()
    (tmp_path / "results.csv").write_bytes(b"\xff,_line\x00\n")
    assert rows_in_results([tmp_path], RUN).is_empty()


def test_track_leaves_the_failed_rows_of_submit_and_of_other_runs_alone(tmp_path: Path) -> None:
    assert failed_name(tmp_path, RUN) == "failed.csv"
    (tmp_path / "failed.csv").write_text(f'"_run"\n"{RUN}"\n')
    assert failed_name(tmp_path, RUN) == "failed.csv", "its own file is written anew"
    for text in ('"_run"\n"another"\n', '"_line";"_rule"\n'):
        (tmp_path / "failed.csv").write_text(text)
        assert failed_name(tmp_path, RUN) == f"failed-{RUN}.csv"


@pytest.mark.parametrize(
    ("header", "row", "kept", "expected"),
    [
        ("identity,item_type,item", "ada,ROLE,Payroll | Café | HR", (1,), ("ada", "ROLE", "Café")),
        ("identity,item_type,item", r"ada,ROLE,A\|B|C\D\\|E", (0, 1), ("ada", "ROLE", "A\\|B|C\\D\\")),
        ("identity,item_type,item_id", f"ada,role,{hex_id(1)}|{hex_id(2)}", (1,), ("ada", "role", hex_id(2))),
        (
            "identity,item_type,item,item_id",
            f"ada,ROLE,X|Y,{hex_id(1)}|{hex_id(2)}",
            (0,),
            ("ada", "ROLE", None, hex_id(1)),
        ),
        (
            "identity,item_type,item",
            "ada,ENTITLEMENT,S|a|v||S|w||S|a|x",
            (0, 2),
            ("ada", "ENTITLEMENT", "S|a|v||S|a|x"),
        ),
        ("identity,item_type,item", "ada,Entitlement,S|a|v;S|a|w;S|a|x", (0, 2), ("ada", "Entitlement", "S|a|v;S|a|x")),
        ("identity,item_type,item", "ada,Entitlement,S|a|v;S|a|w;S|a|x", (1,), ("ada", "Entitlement", "S|a|w")),
        ("operation,identityName,Roles", r"AddRole,ada,A\|B|C", (0, 2), ("AddRole", "ada", r"A\|C")),
        (
            "operation,identityName,application,attributeName,attributeValue",
            "RemoveEntitlement,ada,LDAP,groups,a | b",
            (1,),
            ("RemoveEntitlement", "ada", "LDAP", "groups", "b"),
        ),
        ("identity,item_type,item,Roles", "ada,ROLE,A|B,mine|yours", (1,), ("ada", "ROLE", "B", "mine|yours")),
        ("identity,item_type,item", "ada,ROLE,A|B", (0, 1), ("ada", "ROLE", "A|B")),
    ],
)
def test_a_row_comes_back_with_only_the_items_that_are_concerned(
    header: str, row: str, kept: tuple[int, ...], expected: tuple[str, ...], tmp_path: Path
) -> None:
    table = read(f"{header}\n{row}\n{row.replace('ada', 'bob')}\n".encode())
    ids = resolve(table.rows, None, IdentityBy.AUTO).with_columns(pl.lit("why").alias("comment"))
    changes = validate(ids, dialect=DIALECTS["beta"], now=datetime(2026, 11, 23, tzinfo=UTC)).changes
    several = changes.height // 2
    # The tenant has refused these items of the first row, and accepted the other ones.
    state = [State.REFUSED if item in kept else State.ACCEPTED for item in range(several)]
    none = {name: pl.lit(None, pl.String) for name in ("request_id", "tenant_state", "tenant_said")}
    outcomes = changes.with_columns(
        pl.Series("state", [*state, *[State.ACCEPTED] * several], pl.String),
        pl.lit(RowClass.SUBMITTED.value).alias("class"),
        pl.lit("no such item").alias("reason"),
        pl.lit(value=False).alias("elsewhere"),
        **none,
    )
    nothing = pl.DataFrame(schema={"row": pl.UInt32, "rule": pl.String, "message": pl.String})
    files = write_result_files(tmp_path, table, nothing, outcomes, complain=pytest.fail)
    again = read(Path(files["refused"] or "").read_bytes())
    assert again.originals.select(column.name for column in table.columns).rows() == [expected]
    items = resolve(again.rows, None, IdentityBy.AUTO).get_column("item_id").item().split("|")
    assert items == [changes.get_column("item_id")[item] for item in kept]
    whole = read(Path(files["results"] or "").read_bytes().replace(b'"_', b'"x')).originals
    assert whole.select(table.columns[-1].name).rows() == [(row.rpartition(",")[2],)] * 2 * several
